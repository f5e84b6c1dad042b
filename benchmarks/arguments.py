"""Parses the values of arguments that several benchmarks have."""

import argparse
from collections.abc import Callable, Iterable

from bertgen_jax.data.batching import Bucket
from bertgen_jax.errors import nearest


def count(text: str) -> int:
    """Parses a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number from 1 on")
    return int(text)


def counts(text: str) -> list[int]:
    """Parses numbers of at least 1: "16,64"."""
    return [count(part) for part in text.split(",")]


def names(valid: Iterable[str]) -> Callable[[str], list[str]]:
    """Returns a parser of valid names: "small,base"."""
    known = list(valid)

    def parse(text: str) -> list[str]:
        listed = text.split(",")
        for name in listed:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r}; expected names of {', '.join(known)}."
                    f"{nearest(name, known)}"
                )
        return listed

    return parse


def bucket(text: str) -> Bucket:
    """Parses the tokens of a source and of a target: "512/128"."""
    source, slash, target = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(f"{text!r}; expected two numbers: 512/128")
    return Bucket(count(source), count(target))


def mesh(text: str) -> tuple[int, int]:
    """Parses the axes of a mesh, data and fsdp: "8,1"."""
    numbers = counts(text)
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"{text!r}; expected two numbers: 8,1")
    return numbers[0], numbers[1]
