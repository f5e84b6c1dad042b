"""Recognises the format of a checkpoint by its files, and opens it.

Only headers and indexes are read, so that a file that is missing or does not fit is
reported before anything large is read or allocated.
"""

import os

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import archives
from bertgen_jax.pretrained.formats import (
    fairseq,
    huggingface,
    own_runs,
    tensorflow,
)
from bertgen_jax.pretrained.formats.location import Location, locate
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint

TABLE = """\
  Hugging Face          config.json, model.safetensors or pytorch_model.bin (or shards)
  google-research/bert  bert_config.json, bert_model.ckpt.index and .data-*
  the paper's TF Hub    saved_model.pb, variables/variables.index and .data-*
  openai/gpt-2          hparams.json, model.ckpt.index and .data-*
  fairseq RoBERTa       model.pt, dict.txt
  bertgen_jax           WORKDIR, WORKDIR/checkpoints/STEP, WORKDIR/model"""

# Tried in this order. Each returns None for a directory of another format.
_RECOGNISERS = (
    own_runs.recognise,
    huggingface.recognise,
    tensorflow.recognise_hub_module,
    tensorflow.recognise_openai,
    tensorflow.recognise_google,
    fairseq.recognise,
)
# A user who names a file with such a suffix means these weights, not the directory.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".npz")
_MAX_LISTED = 10  # files in a message


def open_checkpoint(
    name: str | os.PathLike[str], what: str = "checkpoint", *, if_missing: str = ""
) -> OpenedCheckpoint:
    """Opens a checkpoint of any format in `TABLE`.

    Args:
      name: a directory, one of the files in it, or TensorFlow's prefix
        `bert_model.ckpt`; relative to BERTGEN_DATA_DIR or the working directory.
      what: the name of the checkpoint in messages, such as "init.encoder".
      if_missing: advice for the message if there is no such file or directory.

    Raises:
      CheckpointError: there is no such file or directory, or its format is unknown; a
        file of the checkpoint is missing or damaged, or its tensors do not fit its
        configuration.
    """
    try:
        location = locate(name, what)
    except CheckpointError as error:
        raise CheckpointError(f"{error} {if_missing}".rstrip()) from error
    if location.file is not None and archives.is_archive(location.file):
        raise CheckpointError(
            f"{what}: {location.file} is an archive; expected the files in it. Unpack "
            f"it, or run `bertgen convert {location.file.name} DIRECTORY` and name "
            "that directory."
        )
    for recognise in _RECOGNISERS:
        opened = recognise(location)
        if opened is not None:
            _check_is_named(location, opened, what)
            opened.check()
            return opened
    present = sorted(path.name for path in location.directory.iterdir())
    more = ", ..." if len(present) > _MAX_LISTED else ""
    raise CheckpointError(
        f"{what}: {location.directory} is not a checkpoint of a known format; it holds "
        f"{', '.join(present[:_MAX_LISTED]) or 'nothing'}{more}. Expected one of\n"
        f"{TABLE}"
    )


def _check_is_named(location: Location, opened: OpenedCheckpoint, what: str) -> None:
    """Refuses to read other weights than those that the user named."""
    if (
        location.file is not None
        and location.file.name.endswith(_WEIGHTS)
        and location.file != opened.tensors.path
    ):
        raise CheckpointError(
            f"{what}: {location.file} was named, but the weights of such a directory "
            f"({opened.format}) are read from {opened.tensors.path}; expected that "
            "file, or the directory."
        )
