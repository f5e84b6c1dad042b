"""Reads what a compiled program sends between devices, from its HLO."""

import dataclasses
import math
import re
from collections.abc import Iterator

_COLLECTIVE = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all"
    r"|collective-permute)(?P<start>-start)?\("
)
_SHAPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(r"(?:body|calls|to_apply|branch_computations)=\{?%?([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ITEMSIZE = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of a program.

    Attributes:
      kind: such as "all-gather".
      size: bytes of its result on one device.
      devices: the number of devices that take part.
      times: how often a step runs it; more than once in a loop.
    """

    kind: str
    size: int
    devices: int
    times: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, with the best algorithm in a ring."""
        share = (self.devices - 1) / self.devices
        factor = {
            "all-gather": share,
            "all-to-all": share,
            "all-reduce": 2 * share,
            "reduce-scatter": self.devices - 1,  # its result is a part
        }.get(self.kind, 1.0)
        return self.times * self.size * factor


def collectives(text: str) -> list[Collective]:
    """Lists the collectives of a program, those in loops with their number of turns.

    Args:
      text: the HLO, as `Compiled.as_text` returns it.
    """
    entry, lines = _computations(text)
    return list(_walk(entry, lines, 1))


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """Returns the name of the entry, and the lines of each computation."""
    entry, name, lines = "", "", {}
    for line in text.splitlines():
        match = _COMPUTATION.match(line)
        if match:
            name = match[2]
            lines[name] = []
            entry = name if match[1] else entry
        elif name:
            lines[name].append(line)
    return entry, lines


def _walk(name: str, lines: dict[str, list[str]], times: int) -> Iterator[Collective]:
    for line in lines.get(name, ()):
        match = _COLLECTIVE.search(line)
        if match:
            devices = _devices(line)
            if devices > 1:
                size = _result_bytes(match)
                yield Collective(match["kind"], size, devices, times)
            continue
        trips = _TRIPS.search(line)
        inner = times * (int(trips[1]) if trips else 1)
        for called in _CALLED.findall(line):
            yield from _walk(called, lines, inner)


def _result_bytes(match: re.Match[str]) -> int:
    """Returns the bytes of a collective's result."""
    sizes = [
        _ITEMSIZE.get(dtype, 4) * math.prod(int(n) for n in shape.split(",") if n)
        for dtype, shape in _SHAPE.findall(match["shapes"])
    ]
    if match["start"] and match["kind"] in ("all-gather", "reduce-scatter"):
        sizes = sizes[len(sizes) // 2 :]  # operands first
    return sum(sizes)


def _devices(line: str) -> int:
    """Returns the number of devices in a group of a collective."""
    groups = re.search(r"replica_groups=\[\d+,(\d+)\]", line)  # [groups,devices]<=...
    if groups:
        return int(groups[1])
    groups = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if groups:
        return groups[1].count(",") + 1
    mesh = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line)
    if mesh:
        axes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        return math.prod(int(axes[name]) for name in re.findall(r"'(\w+)'", mesh[2]))
    pairs = re.search(r"source_target_pairs=", line)
    return 2 if pairs else 1
