"""A named choice and the known ones in, an error that lists them out."""

from collections.abc import Iterable

from bertgen_jax.errors import ConfigError
from bertgen_jax.suggest import nearest


def check(name: str, value: str, known: Iterable[str]) -> None:
    """Refuses what is not among `known`.

    Raises:
      ConfigError: with the known values and the nearest of them.
    """
    known = list(known)
    if value not in known:
        raise ConfigError(
            f"{name} is one of {', '.join(known)}; found {value!r}."
            f"{nearest(value, known)}"
        )
