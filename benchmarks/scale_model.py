"""Computes the expected time of a training step on many devices from its program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks import ahead_of_time


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What the published rates do not say.

    Attributes:
      utilization: the share of the published operations a second that the products of a
        step reach on one device. Published runs of encoder-decoders and decoders of
        this kind reach 0.35 to 0.65.
      link: the share of the published bytes a second that a large collective reaches.
      latency_s: the time that a collective takes beside its bytes.
      update: arrays of 4 bytes that the optimizer reads and writes for each parameter:
        Adam reads the weight, two moments and the gradient, and writes all but the
        gradient.
    """

    utilization: float = 0.4
    link: float = 0.8
    latency_s: float = 20e-6
    update: int = 7


ASSUMPTIONS = Assumptions()


def times(row: Mapping[str, Any]) -> dict[str, float]:
    """Computes the times of a step.

    Args:
      row: as `scale_plan.measure` returns it, with "data" and "fsdp".

    Returns:
      compute_s: the products, and the update of the parameters.
      collectives_s: what the devices send to each other.
      step_s, efficiency: if devices send while they compute: the longer of the two.
      serial_s, serial_efficiency: if they never do: the sum of the two.
      mfu: the operations of the model in `step_s`, as a share of the published rate.
      Efficiency is the share of a step in which a device computes.
    """
    device = ahead_of_time.DEVICES[row["device"]]
    devices = row["data"] * row["fsdp"]
    compute_s = row["flops"] / (device.flops * ASSUMPTIONS.utilization)
    updated = ASSUMPTIONS.update * 4 * row["parameters"] / row["fsdp"]
    compute_s += updated / device.bandwidth
    collectives_s = sum(
        each["bytes"] / (ASSUMPTIONS.link * link_rate(device, devices, each))
        + each["times"] * ASSUMPTIONS.latency_s
        for each in row["sent"]
    )
    step_s, serial_s = max(compute_s, collectives_s), compute_s + collectives_s
    return {
        "compute_s": compute_s,
        "collectives_s": collectives_s,
        "step_s": step_s,
        "efficiency": compute_s / step_s,
        "serial_s": serial_s,
        "serial_efficiency": compute_s / serial_s,
        "mfu": row["model_flops"] / step_s / device.flops,
    }


def link_rate(
    device: ahead_of_time.Device, devices: int, sent: Mapping[str, Any]
) -> float:
    """Returns the bytes a second that a device of a collective sends.

    Between hosts, every byte that a host sends crosses the network once, and the
    devices of a group share the adapters of their host.

    Args:
      device: the kind of device.
      devices: the number of devices of the mesh.
      sent: a row of `scale_plan.sent`: its "devices" have numbers that are "stride"
        apart.
    """
    rate = device.link if devices >= device.torus else device.link / 2
    if device.network is None or device.host is None:
        return rate
    of_a_host = max(1, device.host // sent["stride"])
    if sent["devices"] <= of_a_host:
        return rate
    return min(rate, of_a_host * device.network)
