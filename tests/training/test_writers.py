"""metrics.jsonl says what happened, once, whatever was killed in between."""

import json

from bertgen_jax.training.writers import METRICS, Writer


def lines(workdir):
    return [json.loads(line) for line in (workdir / METRICS).read_text().splitlines()]


def write(workdir, first, last, step):
    writer = Writer(workdir, tensorboard=False, step=step)
    for number in range(first, last + 1):
        writer.write(number, "train", {"loss": number / 2})
    writer.close()


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
    writer = Writer(tmp_path, tensorboard=True, step=0)
    writer.write(3, "validation", {"rougeL": 41.5})
    writer.close()
    (file,) = (tmp_path / "tensorboard").glob("events*")
    assert b"validation/rougeL" in file.read_bytes()
