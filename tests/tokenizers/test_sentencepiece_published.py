"""Tests of the published 50,358 pieces against ids that others have published."""

import gzip
import json

import pytest

from bertgen_jax import normalization
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer


@pytest.fixture(scope="module")
def load_published():
    """Reads the file once for all tests."""
    loaded = {}

    def load(data_dir, name="bertgen_50358.model"):
        if name not in loaded:
            loaded[name] = BertGenerationTokenizer(data_dir / "vocab" / name)
        return loaded[name]

    return load


@pytest.fixture
def published(data_dir, load_published):
    return load_published(data_dir)


def test_special_ids(published):
    ids = published.special_ids
    assert (ids.pad, ids.eos, ids.bos, ids.sep, ids.unk) == (0, 1, 2, 33, 100)
    assert published.vocab_size == 50_358


# transformers: tests/models/bert_generation/test_tokenization_bert_generation.py.
WEIRD = (
    "This is a very long text with a lot of weird characters, such as: . , ~ ? ( ) "
    '" [ ] ! : - . Also we will add words that should not exsist and be tokenized to '
    "<unk>, such as saoneuhaoesuth"
)
IDS_BY_TEXT = {
    "Hello World!": [18536, 2260, 101],
    WEIRD: [
        *(871, 419, 358, 946, 991, 2521, 452, 358, 1357, 387, 7751, 3536, 112, 985),
        *(456, 126, 865, 938, 5400, 5734, 458, 1368, 467, 786, 2462, 5246, 1159, 633),
        *(865, 4519, 457, 582, 852, 2557, 427, 916, 508, 405, 34324, 497, 391, 408),
        *(11342, 1244, 385, 100, 938, 985, 456, 574, 362, 12597, 3200, 3129, 1172),
    ],
    "The quick brown fox jumps over the lazy dog.": [
        *(484, 2169, 7687, 21932, 18146, 726, 363, 17032, 3391, 114)
    ],
    "BERT is designed to pre-train deep bidirectional representations from unlabeled "
    "text by jointly conditioning on both left and right context in all layers.": [
        *(448, 17496, 419, 3663, 385, 763, 113, 27533, 2870, 3283, 13043, 1639, 24713),
        *(523, 656, 24013, 18550, 2521, 517, 27014, 21244, 420, 1212, 1465, 391, 927),
        *(4833, 388, 578, 11786, 114),
    ],
    "Plants create energy through ": [39370, 2352, 2669, 933],
    "bidirectional": [3283, 13043, 1639],
    "antidisestablishmentarianism": [1986, 29308, 44491, 2844, 48263],
    "é ü ß £": [16369, 321, 285, 321, 256, 321, 197],
}


@pytest.mark.parametrize("text", IDS_BY_TEXT)
def test_ids_of_the_tests_of_transformers(published, text):
    assert published.encode(text) == IDS_BY_TEXT[text]


@pytest.mark.parametrize(
    ("text", "ids", "decoded", "without_specials"),
    [
        ("<s>the bug</s>", [2, 363, 5535, 1], "<s> the bug</s>", "the bug"),
        ("the <pad> bug", [363, 0, 5535], "the<pad> bug", "the bug"),
        ("a<::::>b", [358, 33, 376], "a<::::> b", "a b"),
        (
            "I said “quoted” – ok",
            [415, 632, 321, 100, 522, 5292, 100, 321, 100, 12977],
            "I said <unk>quoted<unk> <unk> ok",
            "I said quoted  ok",
        ),
        (
            "line one\nline two",
            [1728, 631, 100, 1471, 835],
            "line one<unk>line two",
            "line oneline two",
        ),
        *(
            (text, ids, text, text)
            for text, ids in {
                "[CLS] x [SEP]": [321, 65, 2225, 321, 66],
                "the bug , he said .": [363, 5535, 938, 440, 632, 865],
            }.items()
        ),
    ],
)
def test_decoding_equals_that_of_version_5(
    published, text, ids, decoded, without_specials
):
    assert published.encode(text) == ids
    assert published.decode(ids) == decoded
    assert published.decode(ids, skip_special_tokens=True) == without_specials


def test_ids_equal_those_of_the_sentencepiece_library(published, data_dir):
    with gzip.open(data_dir / "vocab/golden/bertgen_50358.jsonl.gz", "rt") as lines:
        goldens = [json.loads(line) for line in lines]
    assert len(goldens) == 222
    # The library by itself does not cut special strings out, so leave those texts out.
    strings = [t.content for t in published.added_tokens_decoder.values()]
    plain = [g for g in goldens if not any(s in g["text"] for s in strings)]
    assert len(plain) == 120
    texts = [golden["text"] for golden in plain]
    assert published.encode_batch(texts) == [golden["ids"] for golden in plain]
    assert [published.tokenize(text) for text in texts] == [g["pieces"] for g in plain]


def test_normalization_keeps_characters_that_the_vocabulary_lacks(published, data_dir):
    text = "I said “quoted” – ok…\nCafe\u0301"
    assert published.encode(text).count(100) == 5
    better = BertGenerationTokenizer(
        data_dir / "vocab/bertgen_50358.model", normalization=normalization.ALL
    )
    ids = better.encode(text)
    assert 100 not in ids
    assert ids == published.encode('I said "quoted" - ok... Café')


def test_ids_of_another_published_model(data_dir, load_published):
    t5 = load_published(data_dir, "t5_spiece.model")
    # It has neither <s> nor <::::>, so both come after its 32,000 pieces.
    assert t5.special_ids.bos == 32_000
    assert t5.special_ids.sep == 32_001
    assert (t5.special_ids.pad, t5.special_ids.eos, t5.special_ids.unk) == (0, 1, 2)
    golden = json.loads((data_dir / "vocab/golden/french_t5.json").read_text())
    assert t5.tokenize(golden["text"]) == golden["bpe_tokens"]
    assert [*t5.encode(golden["text"]), 1] == golden["token_ids"]
    assert t5.decode(golden["token_ids"]) == golden["decoded_text"]
