"""Reads what a program computes from its jaxpr, and what it sends from its HLO."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

_COLLECTIVE = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all"
    r"|collective-permute)(?P<start>-start)?\("
)
_SHAPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(r"(?:body|calls|to_apply|branch_computations)=\{?%?([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_WHILE = re.compile(r" while\(.*condition=%?([\w.-]+), body=%?([\w.-]+)")
_CHAIN = re.compile(r'chain_id="(\d+)"')
_ITEMSIZE = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of a program.

    Attributes:
      kind: such as "all-gather".
      size: bytes of its result on one device.
      group: the numbers of the devices of its first group; several groups do the same
        at the same time.
      times: how often a step runs it; more than once in a loop.
    """

    kind: str
    size: int
    group: tuple[int, ...]
    times: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, with the best algorithm in a ring."""
        devices = len(self.group)
        share = (devices - 1) / devices
        factor = {
            "all-gather": share,
            "all-to-all": share,
            "all-reduce": 2 * share,
            "reduce-scatter": devices - 1,  # its result is a part
        }.get(self.kind, 1.0)
        return self.times * self.size * factor


def collectives(text: str) -> list[Collective]:
    """Lists the collectives of a program, those in loops with their number of turns.

    A loop whose number of turns is not known is taken for one turn.

    Args:
      text: the HLO, as `Compiled.as_text` returns it.
    """
    entry, lines = _computations(text)
    return list(_walk(entry, lines, 1, set()))


def product_flops(jaxpr: Any, unknown_turns: int = 1) -> int:
    """Counts the floating-point operations of the products in a jaxpr.

    Args:
      jaxpr: such as the `jaxpr` of a `jax.stages.Traced`.
      unknown_turns: the turns of loops whose number of turns depends on the data.
    """
    total = 0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += (
                2
                * math.prod(equation.outvars[0].aval.shape)
                * math.prod(shape[axis] for axis in contracted)
            )
            continue
        turns = 1
        if equation.primitive.name == "scan":
            turns = equation.params["length"]
        elif equation.primitive.name == "while":
            turns = unknown_turns
        inner = [
            product_flops(value, unknown_turns) for value in _jaxprs(equation.params)
        ]
        if inner:
            is_branch = equation.primitive.name == "cond"
            total += turns * (max(inner) if is_branch else sum(inner))
    return total


def _jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    """Yields the jaxprs that an equation runs."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if hasattr(getattr(each, "jaxpr", each), "eqns"):
                yield each


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


def _walk(
    name: str, lines: dict[str, list[str]], times: int, chains: set[str]
) -> Iterator[Collective]:
    """Yields the collectives of a computation and of those that it calls.

    `chains` are those that were met. A TPU's compiler cuts a collective into a chain of
    fusions, which overlap with other work.
    """
    for line in lines.get(name, ()):
        match = _COLLECTIVE.search(line)
        if match:
            chain = _CHAIN.search(line)
            if chain:
                if chain[1] in chains:
                    continue
                chains.add(chain[1])
            group = _group(line)
            if len(group) < 2:
                continue
            kind, size = match["kind"], _result_bytes(match)
            if name.startswith("all-reduce-scatter"):  # a TPU's, as a fusion
                kind, size = "reduce-scatter", size // len(group)
            yield Collective(kind, size, group, times)
            continue
        inner = times * _turns(line, lines)
        for called in _CALLED.findall(line):
            yield from _walk(called, lines, inner, chains)


def _turns(line: str, lines: dict[str, list[str]]) -> int:
    """Returns how often an instruction runs the computation that it calls."""
    trips = _TRIPS.search(line)
    if trips:
        return int(trips[1])
    loop = _WHILE.search(line)
    if loop is None:
        return 1
    condition, body = ("\n".join(lines.get(name, ())) for name in loop.groups())
    compared = re.search(  # index < limit
        r"ROOT .* compare\(%?([\w.-]+), %?([\w.-]+)\), .*=LT", condition
    )
    limit = compared and _constant(compared[2], condition)
    if not limit:
        return 1
    return -(-limit // _step(compared[1], condition, body))


def _step(index: str, condition: str, body: str) -> int:
    """Returns what a turn of a loop adds to its index; 1 if it is not written out."""
    place = re.search(
        rf"%?{re.escape(index)} = .* get-tuple-element\(.*\), index=(\d+)", condition
    )
    result = re.search(r"ROOT .* tuple\((.*?)\)", body)
    if place and result:
        names = re.findall(r"%([\w.-]+)", result[1])
        added = re.search(
            rf"%{re.escape(names[int(place[1])])} = \S+ add\(%\S+, %([\w.-]+)\)", body
        )
        if added:
            return _constant(added[1], body) or 1
    return 1


def _constant(name: str, text: str) -> int | None:
    """Returns the value of a constant in a computation; None if it has none."""
    match = re.search(rf"%?{re.escape(name)} = \S+ constant\((\d+)\)", text)
    return int(match[1]) if match else None


def _result_bytes(match: re.Match[str]) -> int:
    """Returns the bytes of a collective's result."""
    sizes = [
        _ITEMSIZE.get(dtype, 4) * math.prod(int(n) for n in shape.split(",") if n)
        for dtype, shape in _SHAPE.findall(match["shapes"])
    ]
    if match["start"] and match["kind"] == "collective-permute":
        return sizes[1]  # operand, result and two flags
    if match["start"] and match["kind"] in ("all-gather", "reduce-scatter"):
        sizes = sizes[len(sizes) // 2 :]  # operands first
    return sum(sizes)


def _group(line: str) -> tuple[int, ...]:
    """Returns the devices of the first group of a collective.

    Raises:
      ValueError: the groups are written in an unknown form.
    """
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed:
        return tuple(int(number) for number in listed[1].split(","))
    # [groups,devices]<=[shape]T(permutation)
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]<=(\[\S+?)(?:, |$)", line)
    if iota:
        return tuple(_numbers(iota[3]).reshape(int(iota[1]), int(iota[2]))[0].tolist())
    # mesh['axis'=size,...], device_ids=([shape]T(permutation)) {'axis',...}
    mesh = re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((\S+)\))? \{([^}]*)\}", line
    )
    if mesh:
        axes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        numbers = _numbers(mesh[2] or f"[{math.prod(axes.values())}]")
        chosen = re.findall(r"'(\w+)'", mesh[3])
        first = tuple(slice(None) if name in chosen else 0 for name in axes)
        return tuple(numbers.reshape(*axes.values())[first].ravel().tolist())
    pair = re.search(r"source_target_pairs=\{\{(\d+),(\d+)\}", line)
    if pair:
        return int(pair[1]), int(pair[2])
    raise ValueError(f"a collective has groups of an unknown form: {line.strip()}")


def _numbers(text: str) -> np.ndarray:
    """Returns a range of device numbers, such as "[2,4]T(1,0)", transposed."""
    match = re.fullmatch(r"\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    if match is None:
        raise ValueError(f"device numbers have an unknown form: {text}")
    shape = [int(size) for size in match[1].split(",")]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    if match[2]:
        numbers = numbers.transpose([int(axis) for axis in match[2].split(",")])
    return numbers
