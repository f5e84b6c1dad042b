"""The metrics log has each step once, and the clock counts training only."""

import json
import time

import pytest

from bertgen_jax.training.metrics_log import METRICS, Clock, MetricsLog, duration


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


def lines(workdir):
    return [json.loads(line) for line in (workdir / METRICS).read_text().splitlines()]


def write(workdir, first, last, step):
    log = MetricsLog(workdir, tensorboard=False, step=step)
    for number in range(first, last + 1):
        log.write(number, "train", {"loss": number / 2})
    log.close()


def test_one_object_a_line(tmp_path):
    write(tmp_path, 1, 2, step=0)
    assert lines(tmp_path) == [
        {"step": 1, "split": "train", "loss": 0.5},
        {"step": 2, "split": "train", "loss": 1.0},
    ]


def test_what_was_not_saved_is_written_again_not_twice(tmp_path):
    write(tmp_path, 1, 7, step=0)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 8, "spl')  # killed in the middle of a line
    write(tmp_path, 5, 9, step=4)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 10))


def test_a_line_that_cannot_be_read_is_dropped(tmp_path):
    write(tmp_path, 1, 2, step=0)
    with (tmp_path / METRICS).open("a") as file:
        file.write("not json\n")
    write(tmp_path, 3, 3, step=2)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_tensorboard_events_hold_the_same_numbers(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=True, step=0)
    log.write(3, "validation", {"rougeL": 41.5})
    log.close()
    (file,) = (tmp_path / "tensorboard").glob("events*")
    assert b"validation/rougeL" in file.read_bytes()
