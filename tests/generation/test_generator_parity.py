"""`generate` finds the tokens of Hugging Face's, on drawn models, settings and sources.

A seed draws a model, its weights, settings and a batch. Hugging Face loads the model
directory that we save.
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
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import saving

pytestmark = [
    pytest.mark.parity,
    # Hugging Face advises against a default length; some settings ask for it.
    pytest.mark.filterwarnings("ignore:Using the model-agnostic default"),
]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NUM_SEEDS, GROUP = 200, 10
BATCH = 4
FAVOURITES = 5  # words that the models prefer
LONG = 40  # new tokens, for which our cache grows
EOS_OFFSETS = (-3.0, 1.0, 4.0)  # added to the logits of EOS: long and short targets
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
DEAD = -1e5  # lower scores mark places without a hypothesis
MOST_TIES = 0.03  # share of the sequences of a group
TIE_CHANGES = 10  # of the weights, to see whether Hugging Face's result changes

# Kinds of models.
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
    """Compiles without fusion emitters, which takes a third of the time."""
    for name, static in (("_generate", (0, 1)), ("_convert_weights", (1, 2))):
        quick = jax.jit(
            getattr(generator, name).__wrapped__,
            static_argnums=static,
            compiler_options={"xla_cpu_use_fusion_emitters": False},
        )
        monkeypatch.setattr(generator, name, quick)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads cost more than they save on small matrices
    yield
    torch.set_num_threads(threads)
    jax.clear_caches()  # of hundreds of programs: see tests/conftest.py


# --- drawing a case --------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """A model's config, settings of the search, and a batch as each side expects it."""

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
    if is_ragged:  # Hugging Face counts padding in n-grams: see the test of prompts
        settings = dataclasses.replace(settings, no_repeat_ngram_size=0)
    return Case(config, settings, ours, theirs, length)


def words_of(decoder):
    """All ids but the special ones, the favourites first."""
    special = [decoder.pad_token_id, decoder.bos_token_id, decoder.eos_token_id]
    return np.setdiff1d(np.arange(decoder.vocab_size), special)


def drawn_model(rng, kind):
    vocab_size = int(rng.integers(24, 61))
    pad, bos, eos = (int(x) for x in rng.permutation(vocab_size)[:3])
    # Special ids are anywhere; Hugging Face treats a padding id of 0 differently.
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
    """Texts to continue: for Hugging Face padded on the left, for us anywhere."""
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
    """Draws settings; each field has its default in about half of the cases."""

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
    if rng.random() < 0.3:  # both sides then take the ids of the model
        del fields["pad_token_id"]
        fields.pop("decoder_start_token_id", None)
        if eos == config.eos_token_id:
            del fields["eos_token_id"]
    return GenerationConfig(**{k: v for k, v in fields.items() if v is not None})


def drawn_bad_words(rng, config, words):
    """Draws single ids, pairs and triples, mostly of favourites, some special ids."""
    lengths = [1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
    bad = [[int(x) for x in rng.choice(words[:FAVOURITES], n)] for n in lengths]
    bad.append([config.bos_token_id, int(rng.choice(words[:FAVOURITES]))])
    if rng.random() < 0.5:
        bad.append([config.eos_token_id])  # which Hugging Face allows all the same
    if rng.random() < 0.5:
        bad.append([int(rng.choice(words)), config.eos_token_id])
    return bad


def drawn_params(draw_params, case, seed, eos_offset):
    """Draws weights that prefer a few words, and EOS by `eos_offset`."""
    params = draw_params(case.config, seed, stddev=0.5)
    config = getattr(case.config, "decoder", case.config)
    decoder = params.get("decoder", params)
    offsets = np.zeros(config.vocab_size, np.float32)
    offsets[words_of(config)[:FAVOURITES]] = 2
    offsets[list(completed(case.settings, case.config).eos_ids)] = eos_offset
    if config.lm_head_bias:
        decoder["lm_head"]["bias"] += offsets
        return params
    # Without a bias, the bias of the last LayerNorm moves all states the same way.
    direction = decoder["bert"]["LayerNorm"]["bias"]
    direction *= 3 / np.linalg.norm(direction)
    head = decoder["bert"]["embeddings"]["word_embeddings"]["embedding"]
    if not config.tie_word_embeddings:
        head = decoder["lm_head"]["kernel"].T
    head += offsets[:, None] * direction / 9
    return params


# --- comparing -------------------------------------------------------------------


def generated(case, params):
    model = create_model(case.config)
    return jax.device_get(
        generator.generate(model, params, config=case.settings, **case.ours)
    )


def hugging_face_model(directory, config, params):
    """Loads the directory that we write with Hugging Face's classes."""
    model = create_model(config)
    saving.save_pretrained(directory, model, params)
    kind = transformers.AutoModelForCausalLM
    if isinstance(config, EncoderDecoderConfig):
        kind = transformers.EncoderDecoderModel
    theirs, report = kind.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return theirs.eval()


def generated_by_hugging_face(case, model):
    """Returns sequences i64[B, N, T] of new tokens, and scores f32[B, N]."""
    settings = transformers.GenerationConfig.from_dict(
        {
            **case.settings.to_dict(),
            "return_dict_in_generate": True,
            "output_scores": True,
            # The cache of a decoder alone cannot hold given encoder states.
            "use_cache": "encoder_hidden_states" not in case.theirs,
        }
    )
    inputs = {name: torch.tensor(x) for name, x in case.theirs.items()}
    output = model.generate(**inputs, generation_config=settings)
    sequences = output.sequences[:, case.prompt_length :].numpy()
    if case.settings.num_beams > 1:
        scores = output.sequences_scores.numpy()
    else:  # made from its transitions
        log_probs = model.compute_transition_scores(
            output.sequences, output.scores, normalize_logits=True
        ).numpy()
        lengths = [len(up_to_eos(ids, case)) for ids in sequences]
        scores = [
            row[:n].sum() / n**case.settings.length_penalty
            for row, n in zip(log_probs, lengths, strict=True)
        ]
    batch = len(case.theirs["input_ids"])
    return (
        sequences.reshape(batch, -1, sequences.shape[1]),
        np.reshape(scores, (batch, -1)),
    )


def up_to_eos(ids, case):
    """Returns the tokens up to the first EOS, included."""
    ids = ids.tolist()
    eos_ids = completed(case.settings, case.config).eos_ids
    ends = [place for place, id_ in enumerate(ids) if id_ in eos_ids]
    return ids[: ends[0] + 1] if ends else ids


def completed(settings, config):
    """Returns the settings with the ids of the model where they have none."""
    names = ("eos_token_id", "pad_token_id")
    missing = {x: getattr(config, x) for x in names if getattr(settings, x) is None}
    return dataclasses.replace(settings, **missing)


def agrees(case, ours, theirs, scores):
    """Whether the N hypotheses of one source and their scores agree.

    Args:
      case: the case that was generated.
      ours: a SearchResult without its batch axis.
      theirs: i64[N, T'], cut where the longest of the batch ends.
      scores: f32[N].
    """
    for place, ids in enumerate(theirs):
        if scores[place] < DEAD:  # there is no hypothesis, and ours should have none
            if ours.scores[place] < DEAD:
                continue
            return False
        tokens = up_to_eos(ids, case)
        if ours.sequences[place, : ours.lengths[place]].tolist() != tokens:
            return False
    alive = scores >= DEAD
    return np.allclose(ours.scores[alive], scores[alive], **TOLERANCE)


def check_padding(case, ours, theirs):
    """Ours is the pad id; Hugging Face pads beams with EOS if the pad id is 0."""
    settings = completed(case.settings, case.config)
    length = ours.sequences.shape[-1]
    after = np.arange(length) >= ours.lengths[..., None]
    assert (ours.sequences[after] == settings.pad_token_id).all()
    fill = settings.pad_token_id
    if settings.num_beams > 1 and fill == 0:
        fill = settings.eos_ids[0]
    for ids in theirs.reshape(-1, theirs.shape[-1]):
        assert (ids[len(up_to_eos(ids, case)) :] == fill).all()


def compare(case, params, directory, perturbed):
    """Asserts that both sides find the same sequences, except for ties.

    There is a tie if Hugging Face's own result changes when its weights change by 1e-6
    of their size, about as much as rounding changes them.

    Args:
      case: the case to generate.
      params: the weights.
      directory: to write the model to.
      perturbed: rng of the changes.

    Returns:
      The number of sequences compared, and how many of them are tied.
    """
    ours = generated(case, params)
    theirs, scores = generated_by_hugging_face(
        case, hugging_face_model(directory, case.config, params)
    )
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
        near = hugging_face_model(directory, case.config, near)
        left = unlike(left, *generated_by_hugging_face(case, near))
    assert not left, f"ours {ours}, Hugging Face's {theirs} {scores}, {case}"
    return scores.size, len(differ) * scores.shape[1]


@pytest.mark.parametrize("first", range(0, NUM_SEEDS, GROUP))
def test_sequences_and_scores_are_hugging_faces(tmp_path, draw_params, first):
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


# --- sampling, padding, prompts, given states ------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_sampling_among_one_token_is_greedy_search(tmp_path, draw_params, seed):
    """As Hugging Face's greedy search, and as its sampling with the same settings."""
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
    model = hugging_face_model(tmp_path, case.config, params)
    greedy, _ = generated_by_hugging_face(case, model)
    theirs, scores = generated_by_hugging_face(sampled, model)
    assert (scores == 0).all()  # log-probability of the only token
    for row in range(BATCH):
        source = jax.tree.map(lambda x, row=row: x[row], ours)
        assert agrees(case, source, theirs[row], scores[row])
        assert agrees(case, source, np.repeat(greedy[row], 3, axis=0), scores[row])


@pytest.mark.parametrize("seed", [13, 20, 31, 35, 47])
def test_a_source_may_be_padded_on_either_side(draw_params, seed):
    """Compares only ours: Hugging Face counts padding among the encoder's positions."""
    case, params = drawn_with_params(draw_params, seed)
    mask = case.ours["attention_mask"]
    assert not mask.all()
    expected = generated(case, params)
    left = {
        name: np.stack(
            [np.roll(x, -n) for x, n in zip(case.ours[name], mask.sum(1), strict=True)]
        )
        for name in ("input_ids", "attention_mask")
    }
    result = generated(dataclasses.replace(case, ours={**case.ours, **left}), params)
    np.testing.assert_array_equal(result.sequences, expected.sequences)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("seed", [0, 2, 4], ids=["pair", "alone", "gpt2"])
def test_prompts_of_different_lengths_do_not_affect_each_other(
    tmp_path, draw_params, seed, num_beams
):
    """Hugging Face gets them one by one: it counts padding in positions and n-grams."""
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
    result = generated(dataclasses.replace(case, settings=settings, ours=ours), params)
    model = hugging_face_model(tmp_path, case.config, params)
    for row, length in enumerate(mask.sum(axis=1)):
        inputs = {name: x[row : row + 1] for name, x in ours.items()}
        for name in names:
            inputs[name] = inputs[name][:, :length] * 1
        alone = dataclasses.replace(
            case, settings=settings, theirs=inputs, prompt_length=length + is_pair
        )
        theirs, scores = generated_by_hugging_face(alone, model)
        source = jax.tree.map(lambda x, row=row: x[row], result)
        assert agrees(alone, source, theirs[0], scores[0])


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_decoder_alone_attends_to_given_states(tmp_path, draw_params, num_beams):
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


# --- logits processors alone -----------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_processed_scores_are_hugging_faces(seed):
    """For sources of different lengths, which Hugging Face processes one at a time."""
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
    if rng.random() < 0.5:  # as beam search passes them
        scores = np.array(jax.nn.log_softmax(scores))

    @jax.jit
    def process(scores, *arrays):
        history = logits_processors.History.of(*arrays)
        scores = logits_processors.process(
            jnp.moveaxis(scores, 2, 0), history, settings
        )
        return jnp.moveaxis(scores, 0, 2)

    mask = np.arange(prompt) >= padding[:, None]
    processed = process(scores, prompt_ids, mask, generated_ids, lengths)
    for row in range(BATCH):
        tokens = np.concatenate(
            [
                np.broadcast_to(prompt_ids[row], (rows, prompt)),
                generated_ids[row, :, : lengths[row]],
            ],
            axis=1,
        )
        expected = torch.tensor(scores[row])
        for processor, sees_padding in hugging_face_processors(settings, prompt):
            seen = tokens if sees_padding else tokens[:, padding[row] :]
            expected = processor(torch.tensor(seen), expected)
        np.testing.assert_allclose(processed[row], expected.numpy(), rtol=1e-6)


def hugging_face_processors(settings, prompt_length):
    """Yields processors in the order of `generate`, and whether they count padding."""
    of = transformers
    eos = list(settings.eos_ids)
    if settings.repetition_penalty != 1:
        # `generate` tells it how much padding to leave out.
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
