"""Tests of what `bertgen` answers to mistyped commands and options."""

import pytest

from bertgen_jax.commands import main


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["generat"], ["Did you mean 'generate'?"]),
        (
            ["score", "--predictions=x", "--metrcs=rouge"],
            ["usage: bertgen score", "Did you mean '--metrics'?"],
        ),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(arguments, messages, capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main(arguments)
    error = capsys.readouterr().err
    for message in messages:
        assert message in error
