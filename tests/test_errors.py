"""Error messages suggest the nearest name, or nothing."""

from bertgen_jax.errors import nearest


def test_the_nearest_name_or_nothing():
    assert nearest("bertshar", ["bert2bert", "bertshare"]) == (
        " Did you mean 'bertshare'?"
    )
    assert nearest("zebra", ["bert2bert", "bertshare"]) == ""
    assert nearest(None, ["none"]) == " Did you mean 'none'?"
