"""The clock counts training and nothing else."""

import time

import pytest

from bertgen_jax.training.clock import Clock, duration


@pytest.fixture
def now(monkeypatch):
    """A clock hand that the test moves."""
    hand = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: hand[0])
    return hand


def test_laps_leave_out_pauses_and_count_from_the_first_step(now):
    clock = Clock(elapsed_s=50.0)
    now[0] += 3.0  # setting up
    clock.begin(10)
    now[0] += 8.0
    with clock.paused():
        now[0] += 100.0
    assert clock.lap(14) == (8.0, 2.0)
    now[0] += 1.0
    assert clock.lap(16) == (1.0, 0.5)
    assert clock.trained_s == 50.0 + 3.0 + 8.0 + 1.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (47, "47s"), (187, "3:07"), (7500, "2:05:00")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
