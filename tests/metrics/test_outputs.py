"""Outputs that cannot be scored are refused."""

import pytest

from bertgen_jax.errors import DataError
from bertgen_jax.metrics.outputs import Outputs


@pytest.mark.parametrize(
    ("predictions", "references", "sources", "message"),
    [
        (["a", "b"], [["a"]], None, "2 predictions but 1 lists"),
        (["a"], [["a"]], ["b", "c"], "1 predictions but 2 sources"),
        ([], [], None, "no predictions"),
        (["a", "b"], [["a"], []], None, r"example 1 .* \(\)"),
        (["a"], ["a"], None, "example 0 .* 'a'"),
    ],
)
def test_texts_that_do_not_match_are_refused(predictions, references, sources, message):
    with pytest.raises(DataError, match=message):
        Outputs.of(predictions, references, sources)


def test_predictions_are_replaced_and_references_kept():
    outputs = Outputs.of(["a"], [["b", "c"]], ["d"])
    other = outputs.replace_predictions(["e"])
    assert other == Outputs.of(["e"], [["b", "c"]], ["d"])
    with pytest.raises(DataError, match="2 predictions"):
        outputs.replace_predictions(["e", "f"])


def test_texts_that_are_too_long_are_refused():
    words = "word " * 2_000
    outputs = Outputs.of(["a", words], [["b"], ["c", words]])
    outputs.check_size("ROUGE", 4_000_000, lambda text: len(text.split()))
    with pytest.raises(DataError, match=r"ROUGE .* example 1 .* 2,000 and 2,000"):
        outputs.check_size("ROUGE", 3_999_999, lambda text: len(text.split()))


def test_the_number_of_references_may_vary():
    assert Outputs.of(["a", "b"], [["c"], ["d"]]).is_uniform()
    assert not Outputs.of(["a", "b"], [["c"], ["d", "e"]]).is_uniform()
    assert Outputs.of(["a", "b"], [["c", "d"], ["e", "f"]]).reference_count == "2"
    assert Outputs.of(["a", "b"], [["c"], ["d", "e"]]).reference_count == "var"


def test_missing_sources_are_an_error_when_they_are_needed():
    assert Outputs.of(["a"], [["b"]], ["c"]).known_sources("sari") == ("c",)
    with pytest.raises(DataError, match="sari compares predictions with their sources"):
        Outputs.of(["a"], [["b"]]).known_sources("sari")
