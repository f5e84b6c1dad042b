from collections.abc import Sequence
from typing import Any

from absl import flags

def DEFINE_config_file(
    name: str,
    default: str | None = None,
    help_string: str = ...,
    flag_values: flags.FlagValues = ...,
    lock_config: bool = True,
    accept_new_attributes: bool = False,
    sys_argv: Sequence[str] | None = None,
    **kwargs: Any,
) -> flags.FlagHolder[Any]: ...
