"""Baselines on single sources; tests of the metrics have their scores on real data."""

import gzip
import json

import pytest

from bertgen_jax.metrics import baselines


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("it rained , so we left .", "it rained . <::::> so we left ."),
        ("it rained and we left .", "it rained and . <::::> we left ."),
        ("a b", "a . <::::> b"),
        (", b", ". <::::> b"),
        ("a", "a"),
        ("", ""),
    ],
)
def test_halve_cuts_in_the_middle(source, expected):
    assert baselines.halve(source) == expected


def test_concatenate_removes_separators():
    assert baselines.concatenate("a b . <::::> c d .") == "a b . c d ."
    assert baselines.concatenate("a<::::>b <::::> <::::>") == "a b"
    assert baselines.concatenate("no separator") == "no separator"
    assert baselines.concatenate("") == ""


def test_every_baseline_turns_a_text_into_a_text():
    assert set(baselines.BASELINES) == {
        "copy",
        "lead-1",
        "lead-3",
        "halve",
        "concatenate",
    }
    for answer in baselines.BASELINES.values():
        for source in ("", "\0", "One is here. Two is there."):
            assert isinstance(answer(source), str)
    assert baselines.BASELINES["copy"]("a  b") == "a  b"
    text = "One is here. Two. Three. Four."
    assert baselines.BASELINES["lead-1"](text) == "One is here."
    assert baselines.BASELINES["lead-3"](text) == "One is here.\nTwo.\nThree."


def test_lead_gives_the_first_sentences_one_a_line():
    text = "One is here. Two is there. Three."
    assert baselines.lead(text) == "One is here."
    assert baselines.lead(text, 2) == "One is here.\nTwo is there."
    assert baselines.lead(text, 9).count("\n") == 2
    assert baselines.lead("") == ""


def test_lead_finds_the_first_sentence_of_real_abstracts(data_dir):
    with gzip.open(data_dir / "scitldr" / "test.jsonl.gz", "rt") as lines:
        sources = [json.loads(line)["source"] for line in lines]
    misses = sum(
        baselines.lead(" ".join(source)) != source[0].strip() for source in sources
    )
    # Six first sentences of the data contain line ends, two are two sentences, and one
    # is half a sentence.
    assert misses == 9
