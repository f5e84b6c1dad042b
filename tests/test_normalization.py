"""Each normalization step rewrites its own characters and nothing else."""

import doctest

import pytest

from bertgen_jax import errors, normalization


def test_docstrings_show_what_the_steps_do():
    assert doctest.testmod(normalization) == (0, 10)


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("nfc", "A\u030angstro\u0308m", "Ångström"),
        (
            "quotes",
            "‘a’ ‚b‛ “c” „d‟ «e» ‹f› 5′ 6″ it´s ʼn",
            "'a' 'b' \"c\" \"d\" \"e\" 'f' 5' 6\" it's 'n",
        ),
        ("dashes", "a‐b‑c‒d–e—f―g−h", "a-b-c-d-e-f-g-h"),
        ("ellipsis", "wait… what…", "wait... what..."),
        ("spaces", "a\u00a0b\u2003c\u3000d\u200be\ufefff\u00ad", "a b c def"),
        ("newlines", "a\r\nb\tc\x0bd\u2028e", "a  b c d e"),
    ],
)
def test_a_step_rewrites_its_characters(step, before, after):
    assert normalization.normalize(before, (step,)) == after
    other_steps = tuple(name for name in normalization.ALL if name != step)
    assert normalization.normalize(before, other_steps) == before


def test_joiners_within_words_are_kept():
    persian = "می‌خواهم"  # with a zero-width non-joiner
    assert normalization.normalize(persian, normalization.ALL) == persian


def test_all_is_idempotent_and_leaves_ascii_alone():
    text = "Plain 'text' - with \"marks\"... "
    assert normalization.normalize(text, normalization.ALL) == text
    once = normalization.normalize("“A” —\n‘b’…", normalization.ALL)
    assert normalization.normalize(once, normalization.ALL) == once == "\"A\" - 'b'..."


def test_no_step_means_no_change():
    assert normalization.normalize("“A” —\n‘b’…", ()) == "“A” —\n‘b’…"


def test_halves_of_surrogate_pairs_are_repaired():
    assert normalization.normalize("\ud83d\ude00 ok", ()) == "😀 ok"
    assert normalization.normalize("a\ud800b\udfff", ()) == "a\ufffdb\ufffd"


def test_an_unknown_step_is_an_error_with_a_suggestion():
    with pytest.raises(errors.ConfigError, match=r"'quote'.*Did you mean 'quotes'\?"):
        normalization.check_steps(("nfc", "quote"))


def test_a_string_is_not_a_sequence_of_steps():
    with pytest.raises(errors.ConfigError, match="expected a sequence of names"):
        normalization.check_steps("nfc")


def test_a_value_that_is_not_a_string_is_an_error():
    with pytest.raises(errors.TokenizerError, match=r"None, a NoneType.*string"):
        normalization.normalize(None, ())


def test_a_config_names_steps_and_groups_of_steps():
    parse = normalization.parse_steps
    assert parse("") == ()
    assert parse("auto", ("nfc",)) == ("nfc",)
    assert parse("all, backticks") == (*normalization.ALL, "backticks")
    with pytest.raises(errors.ConfigError, match=r"'backtick'.*'backticks'"):
        parse("auto,backtick")


def test_every_spelling_of_the_separator_is_restored():
    for text in ("a<::::>b", "a <::::> b", "a< : : : : > b", "a <::::>b"):
        assert normalization.separator(text) == "a <::::> b"
    assert normalization.separator("a < : : b :>") == "a < : : b :>"


def test_steps_that_are_skipped_for_ascii_leave_it_as_it_is():
    text = "".join(map(chr, range(128)))
    for name in normalization._BEYOND_ASCII:
        assert normalization.STEPS[name](text) == text
