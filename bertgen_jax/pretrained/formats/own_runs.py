"""Reads the work directories of this project, and single checkpoints in them."""

import jax
import numpy as np

from bertgen_jax import trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.files import json_files
from bertgen_jax.models.config import read_config
from bertgen_jax.pretrained.containers.tensor_file import Arrays
from bertgen_jax.pretrained.formats.location import MODEL_CONFIG, Location
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.pretrained.parameter_maps import LinearLayout, Weight, weights_of

_CHECKPOINTS = "checkpoints"


def recognise(location: Location) -> OpenedCheckpoint | None:
    """Opens WORKDIR or WORKDIR/checkpoints/STEP; None for any other directory.

    Of a work directory, the newest intact checkpoint is read.

    Returns:
      The parameters that are evaluated: the moving average, if the run keeps one.

    Raises:
      CheckpointError: there is no checkpoint yet, or it is damaged.
    """
    step, workdir = None, location.directory
    if workdir.parent.name == _CHECKPOINTS and workdir.name.isdecimal():
        step, workdir = int(workdir.name), workdir.parent.parent
    if not (workdir / MODEL_CONFIG).is_file():
        return None
    config = read_config(workdir, MODEL_CONFIG)
    run_config = json_files.read_object(workdir / "config.json")
    subtree = "ema_params" if run_config.get("ema_decay") else "params"
    # Nothing is saved, so the metric that decides which step is best does not matter.
    store = CheckpointStore(workdir / _CHECKPOINTS, best_metric="loss", best_mode="min")
    try:
        step, params, _ = store.restore_params(step, subtree)
    finally:
        store.close()
    arrays = trees.named(jax.tree.map(np.asarray, params))
    weights = {w.path: w for w in weights_of(config) if w.path}
    is_pair = config.architecture == "encoder-decoder"
    return OpenedCheckpoint(
        path=workdir,
        format=f"bertgen_jax checkpoint of step {step}",
        kind="encoder-decoder" if is_pair else "bert-generation",
        config=config,
        tensors=Arrays(workdir / _CHECKPOINTS / str(step), arrays),
        weights=tuple(
            Weight(path, weight.shape, path, layout=LinearLayout.OURS)
            for path, weight in weights.items()
        ),
        names={name: name for name in arrays},
        unused_reason=lambda name: None,
    )
