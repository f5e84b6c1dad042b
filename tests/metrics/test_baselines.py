"""Baselines on single sources; their scores on real data stand beside each metric."""

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


def test_concatenate_takes_separators_out():
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
