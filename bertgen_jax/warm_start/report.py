"""`Report`: what a warm start did to each parameter, as lines to print or as JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from bertgen_jax.pretrained.checkpoint import Unused, summary


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one parameter.

    Attributes:
      parameter: its path.
      shape: its shape.
      action: "warm", as the checkpoint has it; "folded", a sum of two of its tensors;
        "permuted", its rows in the order of another vocabulary; "random", as drawn; or
        "shared" and "tied" for one that is no array of its own, but `origin`.
      origin: the checkpoint's tensors, or the parameter that this one is.
      warm: how many of its values are the checkpoint's.
      note: what else there is to say.
    """

    parameter: str
    shape: tuple[int, ...]
    action: str
    origin: str = ""
    warm: int = 0
    note: str = ""

    @property
    def size(self) -> int:
        """How many values it adds to the model: none if they are another's."""
        return 0 if self.action in ("shared", "tied") else math.prod(self.shape)

    @property
    def part(self) -> str:
        """The part of the model that it belongs to."""
        for name in ("embeddings", "crossattention", "lm_head"):
            if f"/{name}/" in self.parameter:
                return name
        return self.parameter.partition("/")[0]

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as JSON values; `origin` is called "source" in the file."""
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
      sources: what each side starts from: file and format.
      rows: one a parameter.
      unused: by file, what it holds beside.
    """

    sources: Mapping[str, str]
    rows: tuple[Row, ...]
    unused: Mapping[str, tuple[Unused, ...]]

    @property
    def trainable(self) -> int:
        """The values of the model; what is shared counts once."""
        return sum(row.size for row in self.rows)

    @property
    def warm(self) -> int:
        """How many of them a checkpoint gave."""
        return sum(row.warm for row in self.rows)

    def __str__(self) -> str:
        """A few lines: values by part, word rows, and what was left over by reason."""
        lines = [
            f"warm start: {self.warm:,} of {self.trainable:,} trainable parameters"
        ]
        lines += [f"  {side} from {path}" for side, path in self.sources.items()]
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(row.part, []).append(row)
        for part, rows in parts.items():
            warm, size = sum(row.warm for row in rows), sum(row.size for row in rows)
            what = f"{_percent(warm, size)} of {size:,}" if size else rows[0].action
            lines.append(f"  {part}: {what}")
        lines += [f"  {row.parameter}: {row.note}" for row in self.rows if row.note]
        unused = (tensor for tensors in self.unused.values() for tensor in tensors)
        lines.append(f"  unused: {summary(unused)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "sources": dict(self.sources),
            "trainable_parameters": self.trainable,
            "warm_parameters": self.warm,
            "parameters": [row.to_dict() for row in self.rows],
            "unused": [
                {"file": path, **tensor.to_dict()}
                for path, tensors in self.unused.items()
                for tensor in tensors
            ],
        }


def _percent(part: int, whole: int) -> str:
    """A share; 100% and 0% mean all and nothing, not nearly so."""
    if part in (0, whole):
        return "100%" if part else "0%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"
