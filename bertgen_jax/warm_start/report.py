"""`Report`: what a warm start did with each parameter, as text or as JSON."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files
from bertgen_jax.files.paths import StrPath
from bertgen_jax.pretrained.checkpoint import Unused, summary


@dataclasses.dataclass(frozen=True)
class Row:
    """What a warm start did with one parameter.

    Attributes:
      parameter: its path.
      shape: its shape.
      action: where the values are from. "warm": a tensor of the checkpoint; "folded":
        the sum of two of its tensors; "permuted": rows of its word table, in the order
        of the model's vocabulary; "random": the random initialisation. "shared" and
        "tied" mark a parameter that is not an array of its own, but `origin`.
      origin: the names of the checkpoint's tensors, or the path of the parameter that
        this one is.
      warm: how many of its values come from the checkpoint.
      note: further details.
    """

    parameter: str
    shape: tuple[int, ...]
    action: str
    origin: str = ""
    warm: int = 0
    note: str = ""

    @property
    def size(self) -> int:
        """How many values it adds to the model; 0 if they are another parameter's."""
        return 0 if self.action in ("shared", "tied") else math.prod(self.shape)

    @property
    def part(self) -> str:
        """The part of the model that it belongs to."""
        for name in ("embeddings", "crossattention", "lm_head"):
            if f"/{name}/" in self.parameter:
                return name
        return self.parameter.partition("/")[0]

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as JSON values; the file calls `origin` "source"."""
        return {
            "parameter": self.parameter,
            "shape": list(self.shape),
            "action": self.action,
            "source": self.origin,
            "warm": self.warm,
            "note": self.note,
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """What a warm start did.

    Attributes:
      origins: by side, the checkpoint that it starts from: file and format.
      rows: one row for each parameter.
      unused: by file, the tensors and rows that no parameter uses.
    """

    origins: Mapping[str, str]
    rows: tuple[Row, ...]
    unused: Mapping[str, tuple[Unused, ...]]

    @property
    def trainable(self) -> int:
        """The number of values in the model; shared values count once."""
        return sum(row.size for row in self.rows)

    @property
    def warm(self) -> int:
        """How many of these values come from a checkpoint."""
        return sum(row.warm for row in self.rows)

    def __str__(self) -> str:
        """Summarises the report in a few lines."""
        lines = [
            f"warm start: {self.warm:,} of {self.trainable:,} trainable parameters"
        ]
        lines += [f"  {side} from {origin}" for side, origin in self.origins.items()]
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(row.part, []).append(row)
        for part, rows in parts.items():
            warm, size = sum(row.warm for row in rows), sum(row.size for row in rows)
            share = f"{_percent(warm, size)} of {size:,}" if size else rows[0].action
            lines.append(f"  {part}: {share}")
        lines += [f"  {row.parameter}: {row.note}" for row in self.rows if row.note]
        unused = (tensor for tensors in self.unused.values() for tensor in tensors)
        lines.append(f"  unused: {summary(unused)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns the whole report as JSON values; the file calls origins "sources"."""
        return {
            "sources": dict(self.origins),
            "trainable_parameters": self.trainable,
            "warm_parameters": self.warm,
            "parameters": [row.to_dict() for row in self.rows],
            "unused": [
                {"file": path, **tensor.to_dict()}
                for path, tensors in self.unused.items()
                for tensor in tensors
            ],
        }

    def write(self, path: StrPath) -> None:
        """Writes the whole report as a JSON file.

        Raises:
          CheckpointError: the file cannot be written.
        """
        try:
            json_files.write_object(pathlib.Path(path), self.to_dict(), indent=1)
        except OSError as error:
            raise CheckpointError(
                f"{os.fspath(path)}: the report cannot be written ({error.strerror})."
            ) from error


def _percent(part: int, whole: int) -> str:
    """Formats a share; only all and nothing become 100% and 0%."""
    if part in (0, whole):
        return "100%" if part else "0%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"
