"""Describes where a run computes, and says what a resume elsewhere changes."""

import importlib.metadata
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax

from bertgen_jax.experiment import workdir
from bertgen_jax.models.config import Seq2SeqConfig

_PAGE = "docs/reliability.md"


def describe(mesh: jax.sharding.Mesh, scan_layers: bool, remat: str) -> dict[str, Any]:
    """Returns what decides the last bits of a run, beside its config, as JSON values.

    Args:
      mesh: the devices.
      scan_layers: `model.scan_layers`.
      remat: the policy of rematerialization, not "auto".
    """
    device = jax.local_devices()[0]
    settings: Any = jax.config
    return {
        "bertgen_jax": importlib.metadata.version("bertgen-jax"),
        "jax": importlib.metadata.version("jax"),
        "jaxlib": importlib.metadata.version("jaxlib"),
        "backend": device.platform,
        # The name of a CPU, because XLA compiles for exactly this one.
        "device": (cpu_name() if device.platform == "cpu" else None)
        or device.device_kind,
        "processes": jax.process_count(),
        "mesh": dict(mesh.shape),
        "random_bits": str(settings.jax_default_prng_impl),
        "matmul_precision": str(settings.jax_default_matmul_precision),
        "scan_layers": scan_layers,
        "remat": remat,
    }


def cpu_name() -> str | None:
    """Returns the name that Linux gives the processor; None where it gives none."""
    file = pathlib.Path("/proc/cpuinfo")
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return name[1].strip() if name else None


def changes(
    saved: Mapping[str, Any] | None, current: Mapping[str, Any], config: Seq2SeqConfig
) -> str:
    """Says in one line what differs from where a checkpoint was saved; "" if nothing.

    Args:
      saved: the environment that the checkpoint was saved in; None if it was saved by a
        version of bertgen_jax that did not record it.
      current: the result of `describe`.
      config: the architecture.
    """
    dropout = any(
        stack.hidden_dropout_prob or stack.attention_probs_dropout_prob
        for stack in config.stacks.values()
    )
    if saved is None:
        if dropout:
            return (
                "the checkpoint is of an earlier version of bertgen_jax, which drew "
                f"other dropout masks: the run goes on with other masks ({_PAGE})"
            )
        return (
            "the checkpoint is of an earlier version of bertgen_jax: results agree to "
            f"rounding, not to the bit ({_PAGE})"
        )
    lines = workdir.differences(saved, current)
    if not lines:
        return ""
    if dropout and saved.get("random_bits") != current["random_bits"]:
        effect = "Other dropout masks are drawn from now on"
    else:
        effect = (
            "Batches and dropout masks stay the same, and results agree to rounding, "
            "not to the bit"
        )
    listed = "; ".join(lines)
    return f"the run was saved elsewhere (saved, now): {listed}. {effect} ({_PAGE})"
