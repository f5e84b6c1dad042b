"""Plans of many devices: what they send, the expected time, and docs/scaling.md."""

import json
import pathlib
import re

import pytest
from jax.sharding import AbstractMesh

from benchmarks import ahead_of_time, scale_model, scale_plan, scale_report
from benchmarks.ahead_of_time import DEVICES, Workload
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
from bertgen_jax.training import flops

ROOT = pathlib.Path(__file__).parents[2]
SMALL = Workload(
    ahead_of_time.create_config("micro"), Bucket(32, 16), 16, dtype="float32"
)


def sums(data, fsdp):
    """Compiles a step for eight simulated devices."""
    mesh = sharding.create_mesh(data, fsdp)
    traced = ahead_of_time.trace_step(SMALL, mesh, "none")
    return scale_plan.sent(traced.lower().compile().as_text())


@pytest.mark.slow
def test_data_parallel_devices_send_every_gradient_once_around_the_ring():
    sent = sums(8, 1)
    assert {row["kind"] for row in sent} == {"all-reduce"}
    assert {(row["devices"], row["stride"]) for row in sent} == {(8, 1)}
    (predicted,) = scale_plan.predicted_sent(SMALL, 8)
    total = sum(row["bytes"] for row in sent)
    assert total == pytest.approx(predicted["bytes"], rel=0.03)


def workload_of(row):
    bucket = Bucket(row["source"], row["target"])
    if row["model"] != "base":
        return Workload.of_experiment(row["model"], rows=row["rows"], bucket=bucket)
    return Workload(ahead_of_time.create_config("base"), bucket, row["rows"])


def test_predictions_are_near_the_kept_programs():
    compared = 0
    for row in scale_report.kept_rows():
        if not row["compiled"]:
            continue
        workload = workload_of(row)
        mesh = AbstractMesh((row["data"], row["fsdp"]), ("data", "fsdp"))
        predicted = workload.predicted_bytes(mesh, row["policy"])
        assert 0.75 < row["total"] / predicted < 1.25
        if row["fsdp"] == 1 and row["data"] > 1:
            (sent,) = scale_plan.predicted_sent(workload, row["data"])
            total = sum(each["bytes"] for each in row["sent"])
            assert total == pytest.approx(sent["bytes"], rel=0.03)
        compared += 1
    assert compared


def test_a_device_alone_sends_nothing():
    assert scale_plan.predicted_sent(SMALL, 1) == []


@pytest.mark.slow
def test_split_weights_are_gathered_by_those_that_share_them(monkeypatch):
    monkeypatch.setattr(sharding, "_MIN_SPLIT_SIZE", 1)
    sent = sums(2, 4)
    groups = {
        (row["kind"], row["devices"], row["stride"])
        for row in sent
        if row["bytes"] > 1000
    }
    assert ("all-gather", 4, 1) in groups
    assert not any(kind == "all-gather" and size != 4 for kind, size, _ in groups)


def row(**fields):
    defaults = {
        "device": "h100",
        "data": 8,
        "fsdp": 1,
        "flops": 40e12,
        "model_flops": 36e12,
        "parameters": 0,
        "sent": [
            {
                "kind": "all-reduce",
                "devices": 8,
                "stride": 1,
                "times": 0,
                "bytes": 0,
            }
        ],
    }
    return defaults | fields


def test_a_device_that_sends_nothing_computes_all_the_time():
    times = scale_model.times(row())
    rate = DEVICES["h100"].flops * scale_model.ASSUMPTIONS.utilization
    assert times["step_s"] == times["serial_s"] == pytest.approx(40e12 / rate)
    assert times["efficiency"] == times["serial_efficiency"] == 1
    assert times["mfu"] == pytest.approx(0.9 * scale_model.ASSUMPTIONS.utilization)


def test_the_ends_of_the_range_are_the_longer_time_and_the_sum():
    computes = scale_model.times(row())["compute_s"]
    link = scale_model.ASSUMPTIONS.link * DEVICES["h100"].link
    sent = [row()["sent"][0] | {"bytes": 2 * computes * link}]
    times = scale_model.times(row(sent=sent))
    assert times["collectives_s"] == pytest.approx(2 * computes)
    assert times["step_s"] == pytest.approx(2 * computes)
    assert times["serial_s"] == pytest.approx(3 * computes)
    assert times["efficiency"] == pytest.approx(1 / 2)
    assert times["serial_efficiency"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kind", "devices", "group", "stride", "rate"),
    [
        ("h100", 8, 8, 1, 450e9),  # one host
        ("h100", 64, 64, 1, 400e9),  # the eight adapters of each host
        ("h100", 64, 8, 1, 450e9),  # each host by itself
        ("h100", 64, 8, 8, 50e9),  # one device of each host
        ("v5e", 8, 8, 1, 100e9),  # no links around the edges
        ("v5e", 256, 256, 1, 200e9),
        ("v5p", 64, 64, 1, 600e9),
    ],
)
def test_the_rate_of_links(kind, devices, group, stride, rate):
    sent = {"devices": group, "stride": stride}
    assert scale_model.link_rate(DEVICES[kind], devices, sent) == rate


def test_the_published_rates_are_those_of_the_log_of_training():
    names = {"h100": "NVIDIA H100 80GB HBM3", "v5e": "TPU v5 lite", "v5p": "TPU v5"}
    for kind, name in names.items():
        assert DEVICES[kind].flops == pytest.approx(flops.peak_flops(name), rel=1e-3)


def test_tables_of_the_page_on_scaling_are_those_of_kept_results():
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    names = re.findall(r"<!-- python -m benchmarks.scale_report (\w+) -->\n", page)
    assert names == list(scale_report.TABLES)
    rows = scale_report.kept_rows()
    for name in names:
        table = scale_report.TABLES[name](rows)
        assert f"benchmarks.scale_report {name} -->\n{table}" in page


def test_the_figure_is_that_of_kept_results():
    figure = (ROOT / "docs" / "scaling.svg").read_text(encoding="utf-8")
    (numbers,) = re.findall(r"<dc:description>(.*?)</dc:description>", figure)
    assert json.loads(numbers) == scale_report.series(scale_report.kept_rows())


def test_the_page_on_scaling_names_the_assumptions():
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assumed = scale_model.ASSUMPTIONS
    for text in (
        f"reach {assumed.utilization:.0%}".replace("%", " %"),
        f"reach {assumed.link:.0%}".replace("%", " %"),
        f"{1e6 * assumed.latency_s:.0f} microseconds",
        *(f"{DEVICES[kind].flops / 1e12:.0f}" for kind in scale_report.KINDS),
        *(f"{DEVICES[kind].link / 1e9:.0f} GB/s" for kind in scale_report.KINDS),
    ):
        assert text in page, text


def test_every_data_parallel_mesh_of_the_plan_is_kept():
    kept = scale_report.kept_rows()
    for kind, meshes in scale_plan.PLAN.items():
        for data, fsdp, rows in meshes:
            assert fsdp > 1 or any(
                (each["device"], each["data"], each["fsdp"], each["rows"])
                == (kind, data, fsdp, rows)
                for each in kept
            ), (kind, data, fsdp, rows)
    for kind, configs in scale_plan.CONFIGS.items():
        for name, data, fsdp in configs:
            (each,) = (
                each for each in kept if (each["device"], each["model"]) == (kind, name)
            )
            assert (each["data"], each["fsdp"]) == (data, fsdp)
