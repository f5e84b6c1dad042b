"""The nearest valid name, for error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str]) -> str:
    """A sentence that suggests the valid name most like `name`.

    Returns:
      " Did you mean 'x'?" with its leading space, or "" when nothing is near.
    """
    matches = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""
