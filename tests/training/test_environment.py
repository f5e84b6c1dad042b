"""A run that resumes elsewhere says what differs, and what that may change."""

import dataclasses

import jax
import pytest

from bertgen_jax import sharding
from bertgen_jax.training import environment
from tests.fixtures.models import pair_config, stack_config

DROPOUT = pair_config(stack_config(hidden_dropout_prob=0.1))
NONE = pair_config(
    stack_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
)


@pytest.fixture
def here():
    return environment.describe(sharding.create_mesh(data=2, fsdp=4), True, "none")


def test_nothing_is_said_when_nothing_differs(here):
    assert environment.changes(here, dict(here), DROPOUT) == ""


def test_every_difference_is_named_with_its_effect(here):
    saved = here | {"jax": "0.4.1", "mesh": {"data": 8, "fsdp": 1}, "processes": 4}
    line = environment.changes(saved, here, DROPOUT)
    for part in (
        f"jax: '0.4.1', '{jax.__version__}'",
        "mesh.data: 8, 2",
        "mesh.fsdp: 1, 4",
        "processes: 4, 1",
        "dropout masks stay the same",
        "not to the bit",
        "docs/reliability.md",
    ):
        assert part in line
    assert "\n" not in line
    assert "jaxlib" not in line


def test_another_generator_draws_other_masks(here):
    saved = here | {"random_bits": "rbg"}
    assert "Other dropout masks" in environment.changes(saved, here, DROPOUT)
    assert "Other dropout masks" not in environment.changes(saved, here, NONE)


def test_a_checkpoint_without_a_record_is_of_an_earlier_version(here):
    line = environment.changes(None, here, DROPOUT)
    assert "earlier version of bertgen_jax, which drew other dropout masks" in line
    assert "goes on with other masks" in line
    assert "masks" not in environment.changes(None, here, NONE)


def test_either_rate_is_dropout(here):
    stack = dataclasses.replace(NONE.decoder, attention_probs_dropout_prob=0.1)
    assert "masks" in environment.changes(None, here, pair_config(stack))
