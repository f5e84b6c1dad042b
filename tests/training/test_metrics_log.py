"""The metrics log has each step once, and the clock counts training only."""

import json
import time

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from bertgen_jax.models.losses import Sums
from bertgen_jax.training import flops, metrics_log
from bertgen_jax.training.flops import Utilization
from bertgen_jax.training.metrics_log import METRICS, Clock, Lap, MetricsLog, duration
from bertgen_jax.training.steps import Totals
from tests.fixtures.models import pair_config


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
    assert clock.lap(14) == Lap(seconds=8.0, steps=4, wait_share=0.0)
    now[0] += 1.0
    assert clock.lap(16) == Lap(seconds=1.0, steps=2, wait_share=0.0)
    assert clock.trained_s == 50.0 + 3.0 + 8.0 + 1.0


def test_a_lap_that_begins_in_a_pause_begins_at_its_end(now):
    clock = Clock()
    clock.begin(0)
    now[0] += 2.0
    with clock.paused():  # the run goes back
        now[0] += 100.0
        clock.begin(3)
        now[0] += 10.0
    now[0] += 4.0
    assert clock.lap(5) == Lap(seconds=4.0, steps=2, wait_share=0.0)


def test_the_wait_for_data_is_a_share_of_its_lap(now):
    clock = Clock()
    clock.begin(0)
    with clock.waiting():
        now[0] += 1.0
    now[0] += 3.0
    assert clock.lap(2).wait_share == 0.25
    now[0] += 1.0
    assert clock.lap(3).wait_share == 0.0


def totals(*, steps, examples, source_tokens, target_tokens):
    sums = Sums(*(jnp.float32(value) for value in (6.0, 5.0, 1.0, target_tokens)))
    return Totals(
        sums,
        jnp.float32(2.0),
        jnp.int32(steps),
        jnp.int32(examples),
        jnp.float32(source_tokens),
    )


def test_a_line_has_rates_of_real_tokens_mfu_and_the_wait(now, monkeypatch):
    monkeypatch.setitem(flops.PEAK_FLOPS, "cpu", 1e6)
    config = pair_config()
    utilization = Utilization(config, "cpu", devices=2)
    clock = Clock()
    clock.begin(10)
    with clock.waiting():
        now[0] += 0.5
    mask = np.arange(8) < np.array([[3], [5]])
    weights = np.float32(np.arange(4) < np.array([[2], [0]]))
    utilization.add({"attention_mask": mask, "label_weights": weights})
    now[0] += 1.5
    # Two steps were counted, one of them by the process before this one.
    sums = totals(steps=2, examples=4, source_tokens=16, target_tokens=4)
    values = metrics_log.train_values(sums, jnp.float32(0.1))
    values |= metrics_log.rates(clock, utilization, 11, 20, values)
    assert values["examples_per_s"] == 4 / 2 / 2.0
    assert values["tokens_per_s"] == 20 / 2 / 2.0
    assert values["data_wait"] == 0.25
    operations = flops.step_flops(config, [3, 5], [2, 0])
    assert values["mfu"] == pytest.approx(operations / 2.0 / 2e6)
    assert values["eta_s"] == 9 * 2.0
    line = metrics_log.train_line(11, 20, values)
    assert f"5 tokens/s  MFU {values['mfu']:.1%}  data wait 25.0%  ETA 18s" in line
    assert set(metrics_log.TIMINGS) == set(values) - {
        *metrics_log.train_values(sums, jnp.float32(0.1))
    }


def test_a_line_of_a_device_without_a_known_peak_has_no_mfu(now):
    utilization = Utilization(pair_config(), "cpu", devices=8)
    utilization.add({})  # nothing is counted
    assert utilization.lap(1.0) == {}


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


def events(file):
    """Yields the events of a TFRecord file: length, checksum, event, checksum."""
    content = file.read_bytes()
    while content:
        length = int.from_bytes(content[:8], "little")
        yield event_pb2.Event.FromString(content[12 : 12 + length])
        content = content[length + 16 :]


@pytest.mark.parametrize("step", [0, 4])
def test_tensorboard_drops_the_steps_that_run_again(tmp_path, step):
    log = MetricsLog(tmp_path, tensorboard=True, step=step)
    log.write(step + 2, "train", {"loss": 2.5})
    log.close()
    (file,) = (tmp_path / "tensorboard").glob("events*")
    started = event_pb2.SessionLog.START
    starts = [e.step for e in events(file) if e.session_log.status == started]
    assert starts == [step + 1]
