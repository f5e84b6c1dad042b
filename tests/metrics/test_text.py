"""Where sentences end, and n-grams."""

import pytest

from bertgen_jax.metrics import text as text_lib


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
def test_sentences_are_split_at_their_ends(text, expected):
    assert text_lib.split_sentences(text) == ([text] if expected is None else expected)


def test_ngrams_keep_order_and_repetitions():
    assert list(text_lib.ngrams("abab", 2)) == [("a", "b"), ("b", "a"), ("a", "b")]
    assert list(text_lib.ngrams("ab", 3)) == []
