"""A work directory of ours, or one of its checkpoints, in; a `Source` out."""

import pathlib

import jax
import numpy as np

from bertgen_jax import trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.models.config import EncoderDecoderConfig, read_config, read_json
from bertgen_jax.pretrained.containers.tensor_file import Arrays
from bertgen_jax.pretrained.name_maps import Layout, Weight
from bertgen_jax.pretrained.opened_checkpoint import Source
from bertgen_jax.pretrained.saving import weights_of

MODEL_CONFIG = "model_config.json"  # of a work directory: the architecture
_CHECKPOINTS = "checkpoints"


def find_model(directory: pathlib.Path) -> pathlib.Path:
    """WORKDIR/model of a work directory that has it; any other directory as it is."""
    model = directory / "model"
    is_run = (directory / MODEL_CONFIG).is_file()
    return model if is_run and (model / "config.json").is_file() else directory


def recognise(directory: pathlib.Path) -> Source | None:
    """Opens a run of ours.

    Args:
      directory: WORKDIR, of which the newest intact checkpoint is read; or
        WORKDIR/checkpoints/STEP.

    Returns:
      The evaluated parameters of that step (their average, if the run keeps one); None
      for a directory of another kind.

    Raises:
      CheckpointError: there is no checkpoint yet, or it is damaged.
    """
    step, workdir = None, directory
    if directory.parent.name == _CHECKPOINTS and directory.name.isdecimal():
        step, workdir = int(directory.name), directory.parent.parent
    if not (workdir / MODEL_CONFIG).is_file():
        return None
    config = read_config(workdir, MODEL_CONFIG)
    run = read_json(workdir / "config.json")
    subtree = "ema_params" if run.get("ema_decay") else "params"
    # Nothing is saved, so it does not matter what is best.
    store = CheckpointStore(workdir / _CHECKPOINTS, best_metric="loss", best_mode="min")
    try:
        step, params, _ = store.restore_params(step, subtree)
    finally:
        store.close()
    arrays = trees.named(jax.tree.map(np.asarray, params))
    is_pair = isinstance(config, EncoderDecoderConfig)
    weights = {w.path: w for w in weights_of(config) if w.path}
    return Source(
        path=workdir,
        format=f"bertgen_jax checkpoint of step {step}",
        kind="encoder-decoder" if is_pair else "bert-generation",
        config=config,
        tensors=Arrays(workdir / _CHECKPOINTS / str(step), arrays),
        weights=tuple(
            Weight(path, weight.shape, path, layout=Layout.OURS)
            for path, weight in weights.items()
        ),
        names={name: name for name in arrays},
        unused=lambda name: None,
    )
