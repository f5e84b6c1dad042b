"""`generate` against the peer's on drawn models, settings and sources: token for token.

A seed draws a model, its weights, settings and a batch. The peer loads what we save.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.decoding import logits_processors
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.pretrained import saving

pytestmark = [
    pytest.mark.parity,
    # Of a length that neither side is given, which the peer advises against.
    pytest.mark.filterwarnings("ignore:Using the model-agnostic default"),
]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NUM_SEEDS, GROUP = 200, 10
BATCH = 4
FAVOURITES = 5  # words that models like
LONG = 40  # new tokens, for which our cache grows on the way
EOS_OFFSETS = (-3.0, 1.0, 4.0)  # added to the logits of EOS: long and short targets
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
DEAD = -1e5  # scores below it are no hypothesis's, but that of a place without one
MOST_TIES = 0.03  # of the sequences of a group
TIE_CHANGES = 10  # of weights, to see whether the peer finds something else

# What the decoder is, and what comes before it.
KINDS = (
    "pair",
    "shared",
    "alone",
    "pair",
    "gpt2",
    "narrow encoder",
    "alone",
    "bert",
    "pair with gpt2",
    "bert alone",
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Compiling takes nearly all of the time, and a third of it without emitters."""
    for name, static in (("_generate", (0, 1)), ("_prepare", (1, 2))):
        quick = jax.jit(
            getattr(generator, name).__wrapped__,
            static_argnums=static,
            compiler_options={"xla_cpu_use_fusion_emitters": False},
        )
        monkeypatch.setattr(generator, name, quick)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small lose by being shared out
    yield
    torch.set_num_threads(threads)
    jax.clear_caches()  # hundreds of programs: see tests/conftest.py


# --- what is drawn ---------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """A model's config, how it searches, and a batch as each side wants it."""

    config: Any
    settings: GenerationConfig
    ours: dict[str, np.ndarray]  # arguments of our `generate`
    theirs: dict[str, np.ndarray]
    prompt_length: int


def drawn(seed):
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    config = drawn_model(rng, kind)
    decoder = getattr(config, "decoder", config)
    words = words_of(decoder)
    if isinstance(config, EncoderDecoderConfig):
        ours = theirs = drawn_sources(rng, config, words)
        length = 1
        if "decoder_input_ids" in ours:
            ids = ours["decoder_input_ids"]
            has_start = (ids[:, 0] == config.decoder_start_token_id).any()
            length = ids.shape[1] + (not has_start)
        is_ragged = False
    else:
        ours, theirs, is_ragged = drawn_prompts(rng, decoder.pad_token_id, words)
        length = theirs["input_ids"].shape[1]
    settings = drawn_settings(rng, seed // len(KINDS), config, words, length)
    if is_ragged:  # to the peer padding is part of n-grams: see the test of prompts
        settings = dataclasses.replace(settings, no_repeat_ngram_size=0)
    return Case(config, settings, ours, theirs, length)


def words_of(decoder):
    """All but the special ids, though a model may generate those; favourites first."""
    special = [decoder.pad_token_id, decoder.bos_token_id, decoder.eos_token_id]
    return np.setdiff1d(np.arange(decoder.vocab_size), special)


def drawn_model(rng, kind):
    vocab_size = int(rng.integers(24, 61))
    pad, bos, eos = (int(x) for x in rng.permutation(vocab_size)[:3])
    # Special ids are anywhere; 0 is the usual padding, and special to the peer.
    pad = 0 if rng.integers(2) and 0 not in (bos, eos) else pad
    if "gpt2" in kind and rng.integers(2):
        pad = bos = eos  # as <|endoftext|> is
    stack = BertGenerationConfig(
        vocab_size=vocab_size,
        hidden_size=int(rng.choice([16, 24, 32])),
        num_hidden_layers=1 + (rng.random() < 0.3),
        num_attention_heads=int(rng.choice([2, 4])),
        intermediate_size=int(rng.integers(16, 41)),
        hidden_act=str(rng.choice(["gelu", "gelu_new", "relu"])),
        max_position_embeddings=48,
        pad_token_id=pad,
        bos_token_id=bos,
        eos_token_id=eos,
    )
    tied = bool(rng.integers(2))
    decoder = dataclasses.replace(stack, is_decoder=True, tie_word_embeddings=tied)
    if "gpt2" in kind:
        decoder = dataclasses.replace(decoder, pre_layer_norm=True, lm_head_bias=False)
    if "bert" in kind:
        decoder = dataclasses.replace(decoder, lm_head_transform=True)
    if kind in ("alone", "gpt2", "bert alone"):
        return decoder
    if kind == "narrow encoder":
        stack = dataclasses.replace(
            stack, hidden_size=8, num_attention_heads=2, vocab_size=vocab_size + 9
        )
    return EncoderDecoderConfig.from_stacks(
        stack,
        decoder,
        share_encoder_decoder=kind == "shared",
        share_embeddings=kind == "pair" and bool(rng.integers(2)),
        decoder_start_token_id=bos,
    )


def drawn_sources(rng, config, words):
    """Sources of different lengths, padded on the right; some with a prompt."""
    mask = np.arange(6) < rng.integers(1, 7, (BATCH, 1))
    ids = rng.integers(0, config.encoder.vocab_size, mask.shape)
    inputs = {"input_ids": np.where(mask, ids, config.encoder.pad_token_id)}
    inputs["attention_mask"] = mask.astype(np.int64)
    if rng.random() < 0.4:
        ids = rng.choice(words[: 2 * FAVOURITES], (BATCH, int(rng.integers(1, 4))))
        # No row, some rows, or each row has the start token.
        has_start = rng.random(BATCH) < rng.choice([0.0, 0.5, 1.0])
        ids[has_start, 0] = config.decoder_start_token_id
        inputs["decoder_input_ids"] = ids
    return inputs


def drawn_prompts(rng, pad, words):
    """Texts to go on from: for the peer padded on the left, for us anywhere."""
    length = int(rng.integers(1, 6))
    is_ragged = length > 1 and rng.random() < 0.6
    lengths = rng.integers(1, length + 1, BATCH) if is_ragged else [length] * BATCH
    ours, theirs = ({"input_ids": [], "attention_mask": []} for _ in range(2))
    for tokens in lengths:
        text = rng.choice(words[: 2 * FAVOURITES], tokens)
        for inputs in (ours, theirs):
            places = np.arange(length - tokens, length)
            if inputs is ours:
                places = np.sort(rng.permutation(length)[:tokens])
            ids, mask = np.full(length, pad), np.zeros(length, np.int64)
            ids[places], mask[places] = text, 1
            inputs["input_ids"].append(ids)
            inputs["attention_mask"].append(mask)
    ours, theirs = (
        {name: np.stack(rows) for name, rows in inputs.items()}
        for inputs in (ours, theirs)
    )
    return ours, theirs, is_ragged


def drawn_settings(rng, number, config, words, prompt_length):
    """Each field has its default in half of the cases or so."""

    def some(*values, chance=0.5):
        return values[rng.integers(len(values))] if rng.random() < chance else None

    num_beams = 1 + number % 5
    other_eos = int(rng.choice(words))
    eos = some((config.eos_token_id, other_eos), chance=0.3) or config.eos_token_id
    fields = {
        "num_beams": num_beams,
        "num_return_sequences": int(rng.integers(1, num_beams + 1)),
        "length_penalty": float(rng.choice([-1, 0, 0.6, 1, 2])),
        "early_stopping": (True, False, "never")[rng.integers(3)],
        "repetition_penalty": some(0.8, 1.3),
        "no_repeat_ngram_size": some(1, 2, 3),
        "bad_words_ids": some(drawn_bad_words(rng, config, words)),
        "forced_bos_token_id": some(int(rng.choice(words)), chance=0.3),
        "forced_eos_token_id": some(
            config.eos_token_id, [config.eos_token_id], other_eos, chance=0.4
        ),
        "eos_token_id": eos,
        "pad_token_id": config.pad_token_id,
    }
    if isinstance(config, EncoderDecoderConfig):
        fields["decoder_start_token_id"] = config.decoder_start_token_id
    new_tokens = int(rng.choice([1, 4, 9, 20, LONG], p=[0.1, 0.15, 0.65, 0.05, 0.05]))
    if new_tokens == LONG and fields["no_repeat_ngram_size"] == 1:
        fields["no_repeat_ngram_size"] = 2  # or no token is left
    if new_tokens != 20:  # the default of both sides
        total = {"max_length": new_tokens + prompt_length}
        fields |= some({"max_new_tokens": new_tokens}, total, chance=1)
    least = int(rng.integers(1, new_tokens + 1))
    match rng.integers(3):
        case 0:
            fields["min_new_tokens"] = least
        case 1:
            fields["min_length"] = least + prompt_length
    if rng.random() < 0.3:  # these are then the model's, as the peer reads them
        del fields["pad_token_id"]
        fields.pop("decoder_start_token_id", None)
        if eos == config.eos_token_id:
            del fields["eos_token_id"]
    return GenerationConfig(**{k: v for k, v in fields.items() if v is not None})


def drawn_bad_words(rng, config, words):
    """Single ids, pairs and triples, mostly of favourites; some with special ids."""
    lengths = [1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
    found = [[int(x) for x in rng.choice(words[:FAVOURITES], n)] for n in lengths]
    found.append([config.bos_token_id, int(rng.choice(words[:FAVOURITES]))])
    if rng.random() < 0.5:
        found.append([config.eos_token_id])  # which the peer lets pass
    if rng.random() < 0.5:
        found.append([int(rng.choice(words)), config.eos_token_id])
    return found


def drawn_params(draw_params, case, seed, eos_offset):
    """Weights with opinions: words that come again and again, and one on EOS."""
    params = draw_params(case.config, seed, stddev=0.5)
    config = getattr(case.config, "decoder", case.config)
    decoder = params.get("decoder", params)
    offsets = np.zeros(config.vocab_size, np.float32)
    offsets[words_of(config)[:FAVOURITES]] = 2
    offsets[list(completed(case.settings, case.config).eos_ids)] = eos_offset
    if config.lm_head_bias:
        decoder["lm_head"]["bias"] += offsets
        return params
    # Without a bias the last LayerNorm's direction of the states serves as one.
    direction = decoder["bert"]["LayerNorm"]["bias"]
    direction *= 3 / np.linalg.norm(direction)
    head = decoder["bert"]["embeddings"]["word_embeddings"]["embedding"]
    if not config.tie_word_embeddings:
        head = decoder["lm_head"]["kernel"].T
    head += offsets[:, None] * direction / 9
    return params


# --- what is compared ------------------------------------------------------------


def generated(case, params):
    model = create_model(case.config)
    return jax.device_get(
        generator.generate(model, params, config=case.settings, **case.ours)
    )


def peer_of(directory, config, params):
    """What the peer makes of the directory that we write."""
    model = create_model(config)
    saving.save_pretrained(directory, model, params)
    kind = transformers.AutoModelForCausalLM
    if isinstance(config, EncoderDecoderConfig):
        kind = transformers.EncoderDecoderModel
    peer, report = kind.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return peer.eval()


def generated_by_peer(case, peer):
    """Sequences i64[B, N, T] of new tokens, and scores f32[B, N]."""
    settings = transformers.GenerationConfig.from_dict(
        {
            **case.settings.to_dict(),
            "return_dict_in_generate": True,
            "output_scores": True,
            # Its cache of a decoder alone has no place for states from elsewhere.
            "use_cache": "encoder_hidden_states" not in case.theirs,
        }
    )
    inputs = {name: torch.tensor(x) for name, x in case.theirs.items()}
    output = peer.generate(**inputs, generation_config=settings)
    found = output.sequences[:, case.prompt_length :].numpy()
    if case.settings.num_beams > 1:
        scores = output.sequences_scores.numpy()
    else:  # made from its transitions
        log_probs = peer.compute_transition_scores(
            output.sequences, output.scores, normalize_logits=True
        ).numpy()
        lengths = [len(through_eos(ids, case)) for ids in found]
        scores = [
            row[:n].sum() / n**case.settings.length_penalty
            for row, n in zip(log_probs, lengths, strict=True)
        ]
    batch = len(case.theirs["input_ids"])
    return found.reshape(batch, -1, found.shape[1]), np.reshape(scores, (batch, -1))


def through_eos(ids, case):
    """The tokens up to the first EOS."""
    ids = ids.tolist()
    eos_ids = completed(case.settings, case.config).eos_ids
    ends = [place for place, id_ in enumerate(ids) if id_ in eos_ids]
    return ids[: ends[0] + 1] if ends else ids


def completed(settings, config):
    """The settings with the model's ids where they have none."""
    names = ("eos_token_id", "pad_token_id")
    missing = {x: getattr(config, x) for x in names if getattr(settings, x) is None}
    return dataclasses.replace(settings, **missing)


def agrees(case, ours, theirs, scores):
    """Whether the N hypotheses of one source are the peer's, and their scores.

    Args:
      case: of them.
      ours: a SearchResult without its batch axis.
      theirs: i64[N, T'], cut where the longest of the batch ends.
      scores: f32[N].
    """
    for place, ids in enumerate(theirs):
        if scores[place] < DEAD:  # its place is free, and so should be ours
            if ours.scores[place] < DEAD:
                continue
            return False
        tokens = through_eos(ids, case)
        if ours.sequences[place, : ours.lengths[place]].tolist() != tokens:
            return False
    alive = scores >= DEAD
    return np.allclose(ours.scores[alive], scores[alive], **TOLERANCE)


def check_padding(case, ours, theirs):
    """Ours is the pad id. Of the peer's beams it is EOS where that is 0."""
    settings = completed(case.settings, case.config)
    length = ours.sequences.shape[-1]
    after = np.arange(length) >= ours.lengths[..., None]
    assert (ours.sequences[after] == settings.pad_token_id).all()
    fill = settings.pad_token_id
    if settings.num_beams > 1 and fill == 0:
        fill = settings.eos_ids[0]
    for ids in theirs.reshape(-1, theirs.shape[-1]):
        assert (ids[len(through_eos(ids, case)) :] == fill).all()


def compare(case, params, directory, perturbed):
    """Asserts that both find the same but for ties.

    A tie is what the peer itself decides otherwise when its weights change by 1e-6 of
    their size, which is what rounding does.

    Args:
      case: what is generated.
      params: with them.
      directory: for the peer's model.
      perturbed: rng of such changes.

    Returns:
      Sequences compared, and how many of them are tied.
    """
    ours = generated(case, params)
    theirs, scores = generated_by_peer(case, peer_of(directory, case.config, params))
    check_padding(case, ours, theirs)
    assert ours.scores.shape == scores.shape
    rows = [jax.tree.map(lambda x, i=i: x[i], ours) for i in range(BATCH)]

    def unlike(places, theirs, scores):
        return [i for i in places if not agrees(case, rows[i], theirs[i], scores[i])]

    differ = left = unlike(range(BATCH), theirs, scores)
    for _ in range(TIE_CHANGES if differ else 0):
        near = jax.tree.map(
            lambda x: np.float32(x * (1 + 1e-6 * perturbed.normal(size=x.shape))),
            params,
        )
        peer = peer_of(directory, case.config, near)
        left = unlike(left, *generated_by_peer(case, peer))
    assert not left, f"ours {ours}, the peer's {theirs} {scores}, {case}"
    return scores.size, len(differ) * scores.shape[1]


@pytest.mark.parametrize("first", range(0, NUM_SEEDS, GROUP))
def test_sequences_and_scores_are_the_peers(tmp_path, draw_params, first):
    sequences = ties = 0
    for seed in range(first, first + GROUP):
        case = drawn(seed)
        for offset in EOS_OFFSETS:
            params = drawn_params(draw_params, case, seed, offset)
            compared, tied = compare(
                case, params, tmp_path, np.random.default_rng(seed)
            )
            sequences, ties = sequences + compared, ties + tied
    assert ties <= MOST_TIES * sequences


# --- what else ought to be the same ----------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_likeliest_of_one_is_no_draw(tmp_path, draw_params, seed):
    """Any number of chains, as the peer's greedy search and its own such chains."""
    rng = np.random.default_rng(seed)
    case, params = drawn_with_params(draw_params, seed)
    assert case.settings.num_beams == 1
    sampling_settings = dataclasses.replace(
        case.settings,
        do_sample=True,
        top_k=1,
        top_p=float(rng.choice([0.5, 1.0])),
        temperature=float(rng.choice([0.7, 1.0, 1.5])),
        num_return_sequences=3,
    )
    sampled = dataclasses.replace(case, settings=sampling_settings)
    ours = generated(sampled, params)
    peer = peer_of(tmp_path, case.config, params)
    greedy, _ = generated_by_peer(case, peer)
    theirs, scores = generated_by_peer(sampled, peer)
    assert (scores == 0).all()  # of a choice of one
    for row in range(BATCH):
        mine = jax.tree.map(lambda x, row=row: x[row], ours)
        assert agrees(case, mine, theirs[row], scores[row])
        assert agrees(case, mine, np.repeat(greedy[row], 3, axis=0), scores[row])


@pytest.mark.parametrize("seed", [13, 20, 31, 35, 47])
def test_a_source_may_be_padded_on_either_side(draw_params, seed):
    """Only ours: the peer counts the positions of an encoder from the padding on."""
    case, params = drawn_with_params(draw_params, seed)
    mask = case.ours["attention_mask"]
    assert not mask.all()
    wanted = generated(case, params)
    left = {
        name: np.stack(
            [np.roll(x, -n) for x, n in zip(case.ours[name], mask.sum(1), strict=True)]
        )
        for name in ("input_ids", "attention_mask")
    }
    found = generated(dataclasses.replace(case, ours={**case.ours, **left}), params)
    np.testing.assert_array_equal(found.sequences, wanted.sequences)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("seed", [0, 2, 4], ids=["pair", "alone", "gpt2"])
def test_prompts_of_different_lengths_are_each_as_alone(
    tmp_path, draw_params, seed, num_beams
):
    """The peer gets them one by one: to it, padding has positions and is in n-grams."""
    case, params = drawn_with_params(draw_params, seed)
    decoder = getattr(case.config, "decoder", case.config)
    is_pair = decoder is not case.config
    settings = GenerationConfig(
        max_new_tokens=9,
        num_beams=num_beams,
        repetition_penalty=1.3,
        no_repeat_ngram_size=2,
    )
    rng = np.random.default_rng(0)
    mask = np.arange(4) < np.array([[4], [1], [2], [3]])
    ids = rng.choice(words_of(decoder), mask.shape)  # the start token comes before
    names = ("decoder_input_ids", "decoder_attention_mask")
    names = names if is_pair else ("input_ids", "attention_mask")
    ours = {**case.ours, **dict(zip(names, (ids, mask), strict=True))}
    found = generated(dataclasses.replace(case, settings=settings, ours=ours), params)
    peer = peer_of(tmp_path, case.config, params)
    for row, length in enumerate(mask.sum(axis=1)):
        alone = {name: x[row : row + 1] for name, x in ours.items()}
        for name in names:
            alone[name] = alone[name][:, :length] * 1
        one = dataclasses.replace(
            case, settings=settings, theirs=alone, prompt_length=length + is_pair
        )
        theirs, scores = generated_by_peer(one, peer)
        mine = jax.tree.map(lambda x, row=row: x[row], found)
        assert agrees(one, mine, theirs[0], scores[0])


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_decoder_alone_attends_to_states_from_elsewhere(
    tmp_path, draw_params, num_beams
):
    rng = np.random.default_rng(1)
    case, _ = drawn_with_params(draw_params, 2)
    config = dataclasses.replace(case.config, add_cross_attention=True)
    mask = np.arange(5) < np.array([[5], [1], [2], [3]])
    states = rng.normal(size=(*mask.shape, config.hidden_size)).astype(np.float32)
    states = {"encoder_hidden_states": states, "encoder_attention_mask": mask * 1}
    ids = {"input_ids": rng.integers(0, config.vocab_size, (BATCH, 3))}
    case = Case(
        config,
        GenerationConfig(max_new_tokens=9, num_beams=num_beams),
        {**ids, **states},
        {**ids, **states},
        prompt_length=3,
    )
    params = drawn_params(draw_params, case, 2, EOS_OFFSETS[1])
    assert compare(case, params, tmp_path, rng)[1] == 0


def drawn_with_params(draw_params, seed):
    case = drawn(seed)
    return case, drawn_params(draw_params, case, seed, EOS_OFFSETS[1])


# --- the rules by themselves -----------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_processed_scores_are_the_peers(seed):
    """For sources of different lengths, of which the peer sees one at a time."""
    rng = np.random.default_rng(seed)
    stack = BertGenerationConfig(vocab_size=24)
    rows, prompt = 2, int(rng.integers(1, 5))
    few = words_of(stack)[:FAVOURITES]
    settings = drawn_settings(rng, 1, stack, few, prompt)
    settings = completed(settings, stack).for_prompt(prompt)
    steps = settings.num_new_tokens

    lengths = rng.integers(0, steps, BATCH)
    lengths[:2] = 0, steps - 1  # where a token may be forced
    padding = rng.integers(0, prompt, BATCH)
    prompt_ids = rng.choice(few, (BATCH, prompt))
    generated_ids = rng.choice(few, (BATCH, rows, steps))
    scores = rng.normal(0, 3, (BATCH, rows, stack.vocab_size)).astype(np.float32)
    if rng.random() < 0.5:  # as beam search hands them in
        scores = np.array(jax.nn.log_softmax(scores))

    @jax.jit
    def process(scores, *arrays):
        history = logits_processors.History.of(*arrays)
        scores = logits_processors.process(
            jnp.moveaxis(scores, 2, 0), history, settings
        )
        return jnp.moveaxis(scores, 0, 2)

    mask = np.arange(prompt) >= padding[:, None]
    found = process(scores, prompt_ids, mask, generated_ids, lengths)
    for row in range(BATCH):
        tokens = np.concatenate(
            [
                np.broadcast_to(prompt_ids[row], (rows, prompt)),
                generated_ids[row, :, : lengths[row]],
            ],
            axis=1,
        )
        wanted = torch.tensor(scores[row])
        for processor, sees_padding in peer_processors(settings, prompt):
            seen = tokens if sees_padding else tokens[:, padding[row] :]
            wanted = processor(torch.tensor(seen), wanted)
        np.testing.assert_allclose(found[row], wanted.numpy(), rtol=1e-6)


def peer_processors(settings, prompt_length):
    """The peer's, in the order of its `generate`, and whether they count padding."""
    of = transformers
    eos = list(settings.eos_ids)
    if settings.repetition_penalty != 1:
        # In `generate` it is told how much padding to leave out.
        yield of.RepetitionPenaltyLogitsProcessor(settings.repetition_penalty), False
    if settings.no_repeat_ngram_size:
        yield of.NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size), False
    if settings.bad_words_ids:
        words = [list(word) for word in settings.bad_words_ids]
        yield of.NoBadWordsLogitsProcessor(words, eos), False
    if settings.min_new_tokens:
        total = prompt_length + settings.min_new_tokens
        yield of.MinLengthLogitsProcessor(total, eos), True
        yield (
            of.MinNewTokensLengthLogitsProcessor(
                prompt_length, settings.min_new_tokens, eos
            ),
            True,
        )
    if settings.forced_bos_token_id is not None:
        yield of.ForcedBOSTokenLogitsProcessor(settings.forced_bos_token_id), True
    if settings.forced_eos_ids:
        total = prompt_length + settings.num_new_tokens
        forced = list(settings.forced_eos_ids)
        yield of.ForcedEOSTokenLogitsProcessor(total, forced), True
