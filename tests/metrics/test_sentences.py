"""Sentence borders, and the lead baseline on real abstracts."""

import gzip
import json

import pytest

from bertgen_jax.metrics import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It works. Who said so? All!", ["It works.", "Who said so?", "All!"]),
        ("it works. who? all.", ["it works.", "who?", "all."]),
        ("One line\nanother\n\n", ["One line", "another"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("See (Fig. 3). It is new.", ["See (Fig. 3).", "It is new."]),
        ("By J. R. Doe et al. in the U.S. Senate.", None),
        ("It takes approx. three hours, i.e. Long.", None),
        ("Is it good? maybe.", None),
        ("The value is 3.5 or 4 here", None),
        ("The score was 5. Then it rained.", ["The score was 5.", "Then it rained."]),
        ("Wait... What is it", ["Wait...", "What is it"]),
        ("tokenised text . Next one .", ["tokenised text .", "Next one ."]),
        ("  ", []),
        ("", []),
    ],
)
def test_split(text, expected):
    assert sentences.split(text) == ([text] if expected is None else expected)


def test_lead_gives_the_first_sentences_one_a_line():
    text = "One is here. Two is there. Three."
    assert sentences.lead(text) == "One is here."
    assert sentences.lead(text, 2) == "One is here.\nTwo is there."
    assert sentences.lead(text, 9).count("\n") == 2
    assert sentences.lead("") == ""


def test_lead_finds_the_first_sentence_of_real_abstracts(data_dir):
    with gzip.open(data_dir / "scitldr" / "test.jsonl.gz", "rt") as lines:
        sources = [json.loads(line)["source"] for line in lines]
    found = [
        sentences.lead(" ".join(source)) == source[0].strip() for source in sources
    ]
    # In the data six first sentences hold line ends, two are two, one is half of one.
    assert found.count(False) == 9
