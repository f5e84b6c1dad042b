"""Imports respect the layers that docs/architecture.md draws.

The drawing itself is read. A module that is missing from it fails, and so does an
import of a layer above or of another folder in the same layer.
"""

import ast
import pathlib
import re

import pytest

PACKAGE = "bertgen_jax"
ROOT = pathlib.Path(__file__).parent.parent
TOP = ("", "__main__")  # the public names, and `python -m bertgen_jax`

# The only modules that may import a library.
OWNERS = {
    "orbax": ("checkpoints.store",),
    "flax.linen": ("models",),
    "absl": ("experiment.flags",),
    "argparse": ("commands",),
    "ctranslate2": ("pretrained.ctranslate2.spec",),
    "torch": (),
    "transformers": (),
    "tensorflow": (),
}
# What these folders may import of the folder that they are in.
INNER = {
    "data.demo": ("data.demo", "data.columns"),
    "data.formats": ("data.formats", "data.columns", "data.cache"),
    "pretrained.containers": ("pretrained.containers",),
    "pretrained.ctranslate2": ("pretrained.ctranslate2", "pretrained.parameter_maps"),
}
PRINTERS = ("commands", "experiment.flags")


def read_layers():
    """Returns the layers of the drawing from top to bottom, as lists of names."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"Imports point down only:\s+```\n(.*?)```", page, re.DOTALL)[1]
    lines = block.replace("\n  ", "  ").splitlines()  # an indented line goes on
    layers = [re.findall(r"(\w+)(?:/(?!\w)|\.py)", line) for line in lines]
    return [names for names in layers if names]


DEPTH = {name: depth for depth, names in enumerate(read_layers()) for name in names}
LOWEST = max(DEPTH.values())


def is_in(name, parent):
    return name == parent or name.startswith(f"{parent}.")


def is_in_any(name, parents):
    return any(is_in(name, parent) for parent in parents)


def imported_names(source):
    """Yields the absolute name of everything that a source text imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def within_package(name):
    return name.removeprefix(PACKAGE).removeprefix(".")


def layer_name(name):
    """Returns the folder or module of the drawing that a name belongs to."""
    return name.partition(".")[0]


def may_import(module, name):
    """Says whether a module of the package may import another, by the drawing."""
    own, other = layer_name(module), layer_name(name)
    if own in TOP:
        return True
    if own == other:
        folder = next((folder for folder in INNER if is_in(module, folder)), None)
        return folder is None or is_in_any(name, INNER[folder])
    if other not in DEPTH:
        return False
    if DEPTH[own] == DEPTH[other]:
        return DEPTH[own] == LOWEST
    return DEPTH[own] < DEPTH[other]


def violations(module, source):
    """Yields a sentence for each import or print of a module that is not allowed.

    Args:
      module: its name within the package, such as "models.layers".
      source: its text.
    """
    own = layer_name(module)
    if own not in DEPTH and own not in TOP:
        yield f"{module} is not in the drawing of docs/architecture.md"
        return
    for name in imported_names(source):
        if name.startswith("."):
            yield f"{module} imports {name}; expected the full name, {PACKAGE}..."
        for library, owners in OWNERS.items():
            # `import flax` alone would give access to everything in it.
            is_used = is_in(name, library) or name == library.partition(".")[0]
            if is_used and not is_in_any(module, owners):
                yield f"{module} imports {name}; expected that only {owners} do"
        if own == "metrics" and is_in_any(name, ("jax", "flax")):
            yield f"{module} imports {name}; metrics/ works without JAX"
        if is_in(name, PACKAGE) and not may_import(module, within_package(name)):
            yield f"{module} imports {name}, which is not below it"
    if is_in_any(module, PRINTERS):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{module}:{node.lineno} prints; only {' and '.join(PRINTERS)} do"


def modules():
    """Yields the name within the package and the path of every module."""
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        name = ".".join(parts)
        yield "" if name == "__init__" else name.removesuffix(".__init__"), path


def test_every_import_is_allowed():
    messages = [
        message
        for module, path in modules()
        for message in violations(module, path.read_text(encoding="utf-8"))
    ]
    assert not messages, "\n".join(messages)


def test_everything_in_the_drawing_exists():
    in_package = {layer_name(module) for module, _ in modules()}
    scripts = {"train", "eval", "configs"}
    assert {name for name in DEPTH if name not in in_package} == scripts
    assert all((ROOT / name).exists() for name in ("train.py", "eval.py", "configs"))


@pytest.mark.parametrize(
    "folder", [*INNER, *(name for n in INNER.values() for name in n)]
)
def test_folders_with_rules_of_their_own_exist(folder):
    path = ROOT / PACKAGE / folder.replace(".", "/")
    assert path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.layers", "from bertgen_jax.data import batching"),
        ("models.layers", "import bertgen_jax.decoding.search"),
        ("models.layers", "from bertgen_jax.generation import generator"),
        ("models.layers", "from . import config"),
        ("decoding.greedy", "from bertgen_jax.models.cache import Cache"),
        ("data.examples", "def f():\n    from bertgen_jax.tokenizers import interface"),
        ("data.demo.news", "from bertgen_jax.data import examples"),
        ("data.formats.table", "from bertgen_jax.data import examples"),
        ("checkpoints.store", "from bertgen_jax.models import config"),
        ("pretrained.saving", "import orbax.checkpoint as ocp"),
        (
            "pretrained.containers.archives",
            "from bertgen_jax.pretrained import loading",
        ),
        (
            "pretrained.containers.torch_file",
            "from bertgen_jax.pretrained.formats import detection",
        ),
        ("metrics.rouge", "import jax.numpy as jnp"),
        ("metrics.rouge", "from flax import struct"),
        ("generation.generator", "from flax import linen as nn"),
        ("generation.generator", "import flax"),
        ("generation.generator", "from bertgen_jax.experiment import tasks"),
        ("generation.generator", "from bertgen_jax.warm_start import recipes"),
        ("generation.pipeline", "import torch"),
        ("evaluation.report", "from bertgen_jax.training import trainer"),
        ("evaluation.report", "print(1)"),
        ("training.trainer", "from absl import flags"),
        ("training.trainer", "from bertgen_jax.commands import main"),
        ("errors", "from bertgen_jax.metrics import score"),
        ("helpers", ""),
    ],
)
def test_a_forbidden_import_is_reported(module, source):
    assert len(list(violations(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.layers", "from flax import linen as nn, struct"),
        ("models.layers", "from bertgen_jax.models import config"),
        ("data.demo.news", "from bertgen_jax.data.columns import Example"),
        ("checkpoints.store", "import orbax.checkpoint as ocp"),
        ("pretrained.loading", "from bertgen_jax.models.config import read_config"),
        ("pretrained.loading", "from bertgen_jax.checkpoints import store"),
        ("pretrained.formats.bert", "from bertgen_jax.pretrained import key_maps"),
        ("decoding.greedy", "import jax\nfrom flax import struct"),
        ("training.trainer", "from bertgen_jax.evaluation import evaluator"),
        ("files.paths", "from bertgen_jax.errors import ConfigError"),
        ("rng", "from bertgen_jax.errors import ConfigError"),
        ("commands.main", "from bertgen_jax.generation import pipeline\nprint(1)"),
    ],
)
def test_an_allowed_import_is_not_reported(module, source):
    assert list(violations(module, source)) == []
