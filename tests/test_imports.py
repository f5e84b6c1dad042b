"""Imports point down, as docs/architecture.md draws them.

The drawing itself is read: a module that is not in it, or an import that points up or
sideways, fails here.
"""

import ast
import pathlib
import re

import pytest

PACKAGE = "bertgen_jax"
ROOT = pathlib.Path(__file__).parent.parent
FACE = ("", "__main__")  # the public names; `python -m bertgen_jax`

# Who alone may import a library; nobody is an empty tuple.
OWNERS = {
    "orbax": (f"{PACKAGE}.checkpoints.store",),
    "flax.linen": (f"{PACKAGE}.models",),
    "absl": (f"{PACKAGE}.experiment.flags",),
    "argparse": (f"{PACKAGE}.commands",),
    "torch": (),
    "transformers": (),
    "tensorflow": (),
    "ctranslate2": (f"{PACKAGE}.pretrained.ctranslate2.spec",),
}
PRINTERS = ("commands", "experiment.flags")


def drawing():
    """The lines of the drawing, uppermost first; each a list of rooms and modules."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"Imports point down only:\s+```\n(.*?)```", page, re.DOTALL)[1]
    lines = [re.findall(r"(\w+)(?:/(?!\w)|\.py)", line) for line in block.splitlines()]
    return [line for line in lines if line]


LEVELS = {name: depth for depth, line in enumerate(drawing()) for name in line}
GROUND = max(LEVELS.values())


def is_in(name, parent):
    return name == parent or name.startswith(f"{parent}.")


def imports(source):
    """Absolute names of all that a source text imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def place(module):
    """The room or module of the drawing that a dotted name belongs to."""
    return module.removeprefix(PACKAGE).removeprefix(".").partition(".")[0]


def complaints(module, source):
    """What is wrong with the imports of a module, one sentence each."""
    here = place(module)
    if here not in LEVELS and here not in FACE:
        yield f"{module} is not in the drawing of docs/architecture.md"
        return
    for name in imports(source):
        if name.startswith("."):
            yield f"{module} imports {name}; write out {PACKAGE}."
        for library, owners in OWNERS.items():
            # `import flax` alone would open the way to all that is in it.
            taken = is_in(name, library) or name == library.partition(".")[0]
            if taken and not any(is_in(module, owner) for owner in owners):
                yield f"{module} imports {name}, which it may not"
        if here == "metrics" and (is_in(name, "jax") or is_in(name, "flax")):
            yield f"{module} imports {name}; metrics need no accelerator"
        if is_in(name, PACKAGE) and not may_import(here, name):
            yield f"{module} imports {name}, which is not below it"
    if any(is_in(module, f"{PACKAGE}.{printer}") for printer in PRINTERS):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{module}:{node.lineno} prints; only {' and '.join(PRINTERS)} do"


def may_import(here, name):
    there = place(name)
    if here == there or here in FACE:
        return True
    if there not in LEVELS:
        return False
    if LEVELS[here] == LEVELS[there]:
        return LEVELS[here] == GROUND
    return LEVELS[here] < LEVELS[there]


def modules():
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def test_the_house_is_built_as_drawn():
    found = [
        complaint
        for module, path in modules()
        for complaint in complaints(module, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_nothing_is_drawn_that_is_not_there():
    built = {place(module) for module, _ in modules()}
    scripts = {"train", "eval", "configs"}
    assert {name for name in LEVELS if name not in built} == scripts
    assert all((ROOT / name).exists() for name in ("train.py", "eval.py", "configs"))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.layers", "from bertgen_jax.data import batching"),
        ("models.layers", "import bertgen_jax.decoding.search"),
        ("models.layers", "from bertgen_jax.generation import generator"),
        ("models.layers", "from . import config"),
        ("decoding.greedy", "from bertgen_jax.models.cache import Cache"),
        ("data.examples", "def f():\n    from bertgen_jax.tokenizers import interface"),
        ("checkpoints.store", "from bertgen_jax.models import config"),
        ("pretrained.saving", "import orbax.checkpoint as ocp"),
        ("metrics.rouge", "import jax.numpy as jnp"),
        ("metrics.rouge", "from flax import struct"),
        ("generation.generator", "from flax import linen as nn"),
        ("generation.generator", "import flax"),
        ("generation.generator", "from bertgen_jax.experiment import tasks"),
        ("generation.generator", "from bertgen_jax.warm_start import recipes"),
        ("evaluation.report", "from bertgen_jax.training import trainer"),
        ("evaluation.report", "print(1)"),
        ("training.trainer", "from absl import flags"),
        ("training.trainer", "from bertgen_jax.commands import main"),
        ("generation.pipeline", "import torch"),
        ("errors", "from bertgen_jax.metrics import score"),
        ("helpers", ""),
    ],
)
def test_what_points_elsewhere_is_found(module, source):
    assert len(list(complaints(f"{PACKAGE}.{module}", source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.layers", "from flax import linen as nn, struct"),
        ("models.layers", "from bertgen_jax.models import config"),
        ("checkpoints.store", "import orbax.checkpoint as ocp"),
        ("pretrained.loading", "from bertgen_jax.models.config import read_config"),
        ("pretrained.loading", "from bertgen_jax.checkpoints import store"),
        ("decoding.greedy", "import jax\nfrom flax import struct"),
        ("training.trainer", "from bertgen_jax.evaluation import evaluator"),
        ("files.paths", "from bertgen_jax.errors import ConfigError"),
        ("rng", "from bertgen_jax.errors import ConfigError"),
        ("commands.main", "from bertgen_jax.generation import pipeline\nprint(1)"),
    ],
)
def test_what_points_down_is_welcome(module, source):
    assert list(complaints(f"{PACKAGE}.{module}", source)) == []
