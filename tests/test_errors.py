"""Error messages suggest the nearest name, or nothing."""

import pytest

from bertgen_jax.errors import (
    CheckpointError,
    ConfigError,
    check_choice,
    in_file,
    nearest,
)


def test_the_nearest_name_or_nothing():
    assert nearest("bertshar", ["bert2bert", "bertshare"]) == (
        " Did you mean 'bertshare'?"
    )
    assert nearest("zebra", ["bert2bert", "bertshare"]) == ""
    assert nearest(None, ["none"]) == " Did you mean 'none'?"


def test_an_invalid_choice_is_an_error_with_the_valid_ones():
    check_choice("size", "base", ("base", "large"))
    with pytest.raises(
        ConfigError,
        match=(
            r"^size is 'larg'; expected one of base, large\. Did you mean 'large'\?$"
        ),
    ):
        check_choice("size", "larg", ("base", "large"))


def test_an_invalid_value_in_a_file_is_an_error_of_the_file():
    with (
        pytest.raises(CheckpointError, match=r"^x\.json: size is 3$"),
        in_file("x.json"),
    ):
        raise ConfigError("size is 3")
