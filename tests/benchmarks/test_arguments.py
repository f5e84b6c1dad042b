"""Wrong values of a benchmark's arguments are refused before anything runs."""

import argparse
import sys

import pytest

from benchmarks import arguments, decode, memory, scale_plan, train_step
from bertgen_jax.data.batching import Bucket


def test_values():
    assert arguments.counts("16,64") == [16, 64]
    assert arguments.names(["small", "base"])("base,small") == ["base", "small"]
    assert arguments.bucket("512/128") == Bucket(512, 128)
    assert arguments.mesh("8,1") == (8, 1)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (arguments.count, "0", "'0'; expected a number from 1 on"),
        (arguments.count, "-1", "'-1'; expected"),
        (arguments.counts, "4,x", "'x'; expected"),
        (arguments.names(["small", "base"]), "smal", "'smal'; expected .*small"),
        (arguments.bucket, "512", "expected two numbers: 512/128"),
        (arguments.bucket, "512/0", "'0'; expected"),
        (arguments.mesh, "3,0", "'0'; expected"),
        (arguments.mesh, "8", "expected two numbers: 8,1"),
    ],
)
def test_wrong_values(parse, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("benchmark", "flags"),
    [
        (train_step, ["--sizes=huge"]),
        (train_step, ["--repeats=0"]),
        (memory, ["--policies=wrong"]),
        (scale_plan, ["--device=h100", "--config=nonsense"]),
        (decode, ["--cases=odd"]),
    ],
)
def test_a_benchmark_names_the_wrong_argument(benchmark, flags, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", *flags])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert f"argument {flags[-1].partition('=')[0]}: " in capsys.readouterr().err
