"""Tests of published vocabularies against ids and texts that others have published.

Their origins are in README.md of the shared data, section "vocab".
"""

import gzip
import json

import pytest

from bertgen_jax.tokenizers.auto import AutoTokenizer

FILES = {
    "bert_base_uncased": "bert_base_uncased_vocab.txt",
    "bert_base_cased": "bert_base_cased_vocab.txt",
    "bert_multi_cased": "bert_multi_cased_vocab.txt",
    "gpt2": "gpt2_vocab.json",
    "roberta": "roberta_vocab.json",
    "t5": "t5_spiece.model",
}


@pytest.fixture(scope="module")
def loaded():
    return {}


@pytest.fixture
def load(data_dir, loaded):
    """Reads each file once for all tests."""

    def load_once(name):
        if name not in loaded:
            path = data_dir / "vocab" / FILES[name]
            loaded[name] = AutoTokenizer.from_pretrained(path)
        return loaded[name]

    return load_once


@pytest.fixture
def golden(data_dir):
    def read(name):
        return json.loads((data_dir / "vocab" / "golden" / name).read_text("utf-8"))

    return read


def with_specials(name, tokenizer, ids):
    """Adds the special ids that Hugging Face puts around a text by default."""
    if name == "gpt2":
        return ids
    first = [] if name == "t5" else [tokenizer.special_ids.bos]
    return [*first, *ids, tokenizer.special_ids.eos]


@pytest.mark.parametrize(
    ("name", "size", "lowers", "special_ids"),
    [
        ("bert_base_uncased", 30_522, True, (0, 102, 100, 101, 103)),
        ("bert_base_cased", 28_996, False, (0, 102, 100, 101, 103)),
        ("bert_multi_cased", 119_547, False, (0, 102, 100, 101, 103)),
        ("gpt2", 50_257, None, (50_256, 50_256, 50_256, 50_256, None)),
        ("roberta", 50_265, None, (1, 2, 3, 0, 50_264)),
    ],
)
def test_sizes_casing_and_special_ids(load, name, size, lowers, special_ids):
    tokenizer = load(name)
    ids = tokenizer.special_ids
    assert tokenizer.vocab_size == size
    assert (ids.pad, ids.eos, ids.unk, ids.bos, ids.mask) == special_ids
    assert getattr(tokenizer, "do_lower_case", None) == lowers


def test_ids_of_seven_thousand_questions(load, data_dir):
    file = data_dir / "vocab/golden/bert_base_uncased_squad.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        goldens = [json.loads(line) for line in lines]
    assert len(goldens) == 7000
    tokenizer = load("bert_base_uncased")
    ids = tokenizer.encode_batch([golden["text"] for golden in goldens])
    assert ids == [golden["ids"] for golden in goldens]
    for golden in goldens:
        assert tokenizer.tokenize(golden["text"]) == golden["wordpiece"]


@pytest.mark.parametrize(
    "name", ["bert_base_uncased", "bert_multi_cased", "gpt2", "t5"]
)
def test_ids_and_texts_of_edge_cases(load, golden, name):
    tokenizer = load(name)
    cases = golden("edge_cases.json")[name]
    assert len(cases) == 12
    for case in cases:
        ids = case["encoded"]["input_ids"]
        assert with_specials(name, tokenizer, tokenizer.encode(case["input"])) == ids
        # Version 4 of Hugging Face's library, which made them, cleaned up by default.
        clean = {"clean_up_tokenization_spaces": True}
        assert tokenizer.decode(ids, **clean) == case["decoded_with_special"]
        assert tokenizer.decode(ids, True, **clean) == case["decoded_without_special"]


@pytest.mark.parametrize("name", ["bert_base_uncased", "gpt2", "t5"])
def test_ids_of_a_paragraph_of_french(load, golden, name):
    tokenizer, case = load(name), golden(f"french_{name}.json")
    assert tokenizer.tokenize(case["text"]) == case["bpe_tokens"]
    ids = with_specials(name, tokenizer, tokenizer.encode(case["text"]))
    assert ids == case["token_ids"]
    clean = {"clean_up_tokenization_spaces": True}
    assert tokenizer.decode(ids, **clean) == case["decoded_text"]


def test_ids_of_gpt2(load, golden):
    cases = golden("gpt2_small.json")
    assert len(cases) == 3
    for case in cases:
        assert load("gpt2").encode(case["text"]) == case["ids"]
        assert load("gpt2").decode(case["ids"]) == case["text"]


def test_roberta_splits_text_like_gpt2(load, golden):
    gpt2, roberta = load("gpt2"), load("roberta")
    text = golden("french_gpt2.json")["text"]
    assert roberta.tokenize(text) == gpt2.tokenize(text)
    assert roberta.encode("Hello world") == [31414, 232]  # as fairseq's README has it


def test_fairseqs_dictionary_gives_robertas_ids(load, data_dir, tmp_path):
    rows, numbers = load("roberta").get_vocab(), load("gpt2").get_vocab()
    pieces = sorted(rows, key=rows.get)[4:-1]
    lines = [f"{numbers.get(piece, piece)} 1" for piece in pieces]
    (tmp_path / "dict.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, file in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        content = (data_dir / "vocab" / f"gpt2_{file}").read_bytes()
        (tmp_path / name).write_bytes(content)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.fingerprint == load("roberta").fingerprint
    assert tokenizer.encode("Hello world") == [31414, 232]


def test_a_vocabulary_beside_a_checkpoint_of_tensorflow(data_dir):
    directory = data_dir / "checkpoints" / "keras_bert_test_checkpoint"
    tokenizer = AutoTokenizer.from_pretrained(directory)
    text = "All work and no play makes Jack a dull boy."
    assert tokenizer.encode(text) == [*range(5, 15), 1]
