"""Learning rates are those of the paper's formula and of the others' definitions."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.training import schedules


def rates(name, steps, **changes):
    """Rates of the updates numbered `steps`, counted from 1."""
    settings = {
        "rate": 1.0,
        "warmup_steps": 10,
        "total_steps": 110,
        "hidden_size": 4,
    } | changes
    schedule = schedules.create(name, **settings)
    return [float(schedule(np.int32(step - 1))) for step in steps]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (768, [2.255e-7, 2.255e-6, 9.021e-6, 5.705e-6, 4.034e-6, 3.294e-6, 2.552e-6]),
        (1024, [1.953e-7, 1.953e-6, 7.813e-6, 4.941e-6, 3.494e-6, 2.853e-6, 2.210e-6]),
    ],
)
def test_paper_schedule_at_the_steps_of_its_runs(width, expected):
    steps = [1_000, 10_000, 40_000, 100_000, 200_000, 300_000, 500_000]
    found = rates("paper", steps, rate=0.05, warmup_steps=40_000, hidden_size=width)
    np.testing.assert_allclose(found, expected, rtol=5e-4)


def test_warm_up_is_linear_from_the_first_update():
    for name in ("constant", "linear", "cosine"):
        np.testing.assert_allclose(rates(name, [1, 5, 10]), [0.1, 0.5, 1.0], rtol=1e-6)


def test_decays_reach_zero_at_the_last_step():
    np.testing.assert_allclose(
        rates("linear", [60, 110, 200]), [0.5, 0.0, 0.0], atol=1e-7
    )
    np.testing.assert_allclose(
        rates("cosine", [35, 60, 110]), [0.853553, 0.5, 0.0], atol=1e-6
    )
    assert rates("constant", [110]) == [1.0]


def test_no_warm_up():
    assert rates("constant", [1], warmup_steps=0) == [1.0]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        rates("cosin", [1])


def test_a_warm_up_longer_than_the_run_is_refused_where_the_end_matters():
    with pytest.raises(ConfigError, match="warmup_steps is 110 with total_steps 110"):
        rates("linear", [1], warmup_steps=110)
    assert rates("paper", [1], warmup_steps=110)
