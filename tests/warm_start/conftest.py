"""Small checkpoints with vocabularies, and warm starts whose reports are checked."""

import dataclasses
import re

import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from bertgen_jax.warm_start import architecture, opening, recipes
from bertgen_jax.warm_start.recipes import Recipe, Selection
from bertgen_jax.warm_start.transfer import transfer
from tests.fixtures import checkpoints, vocabularies


@pytest.fixture
def write_checkpoint(tmp_path):
    """Writes a checkpoint with a vocabulary: (kind, name) -> directory, tensors."""

    def write(kind="bert", name="checkpoint", **options):
        directory, tensors = checkpoints.write(kind, tmp_path / name, **options)
        if kind in ("gpt2", "roberta"):
            vocabularies.write_byte_level(directory, kind)
        else:
            vocabularies.write_word_pieces(directory)
        return directory, tensors

    return write


@pytest.fixture(scope="session")
def sentencepiece():
    """A vocabulary of most pieces of the checkpoints, in another order and spelling."""
    letters = vocabularies.LETTERS[::-1]
    texts = [f"{a} {b}{a} ." for a in letters for b in letters]
    return train_sentencepiece([*texts, "?"], 31)


@dataclasses.dataclass
class Started:
    """What a warm start did: leaves by path before and after it, and the report."""

    config: object
    before: dict
    after: dict
    report: object

    @property
    def changed(self):
        """The parameters that the warm start changed."""
        return {
            n for n, a in self.before.items() if not np.array_equal(a, self.after[n])
        }

    @property
    def rows(self):
        """The rows of the report by parameter."""
        return {row.parameter: row for row in self.report.rows}


@pytest.fixture
def start(draw_params):
    """(recipe, encoder, decoder, ...) -> `Started`, after a check of the report."""

    def run(
        name, encoder=None, decoder=None, tokenizers=None, settings=None, **selection
    ):
        recipe = name if isinstance(name, Recipe) else recipes.get(name)
        selection = Selection(**selection)
        opened = opening.open_checkpoints(recipe, encoder=encoder, decoder=decoder)
        tokenizers = tokenizers or opening.choose_tokenizers(opened)
        config = architecture.model_config(
            recipe, opened, tokenizers, selection, "tiny", settings or {}
        )
        before = draw_params(config)
        after, report = transfer(before, config, opened, tokenizers, selection)
        before, after = trees.named(before), trees.named(after)
        assert_accounted(before, after, report, opened)
        return Started(config, before, after, report)

    return run


def assert_accounted(before, after, report, opened):
    """Checks that each parameter has a row, and each tensor is used or listed once."""
    own = [row for row in report.rows if row.action not in ("shared", "tied")]
    assert [row.parameter for row in own] == list(before)
    for row in own:
        assert row.shape == after[row.parameter].shape == before[row.parameter].shape
        assert (row.action == "random") == (not row.origin) == (not row.warm)
        same = np.array_equal(before[row.parameter], after[row.parameter])
        assert same == (row.action == "random")
    for row in report.rows:
        if row.action in ("shared", "tied"):
            assert row.origin in before
            assert row.parameter not in before
    assert report.trainable == sum(array.size for array in after.values())
    assert report.warm <= report.trainable

    origins = [part for row in own for part in row.origin.split(" + ") if part]
    used = {re.sub(r"\[\d+(/\d+)?\]$", "", part) for part in origins}
    files = {str(side.tensors.path): side.tensors for side in opened.values()}
    assert set(report.unused) == set(files)
    everything = [name for file in files.values() for name in file.tensors]
    assert used <= set(everything)
    for path, unused in report.unused.items():
        for tensor in unused:
            assert tensor.shape == files[path].tensors[tensor.tensor].shape
            assert tensor.reason
        whole = [tensor.tensor for tensor in unused if not tensor.rows]
        assert len(whole) == len(set(whole))
        if len(files) == 1:
            assert sorted([*whole, *used]) == sorted(everything)
        assert {t.tensor for t in unused if t.rows} <= set(files[path].tensors)
