"""A path in, the checkpoint that lies there out, recognised by its files.

Only headers and indexes are read here, so that what is missing or does not fit shows
before anything large is read or allocated.
"""

import os
import pathlib
import re

from bertgen_jax import paths
from bertgen_jax.checkpoints.formats import (
    fairseq,
    hugging_face,
    own_runs,
    tensorflow_bundles,
)
from bertgen_jax.checkpoints.source import Source
from bertgen_jax.errors import CheckpointError, ConfigError

TABLE = """\
  Hugging Face          config.json, model.safetensors or pytorch_model.bin (or shards)
  google-research/bert  bert_config.json, bert_model.ckpt.index and .data-*
  the paper's TF Hub    saved_model.pb, variables/variables.index and .data-*
  openai/gpt-2          hparams.json, model.ckpt.index and .data-*
  fairseq RoBERTa       model.pt, dict.txt
  bertgen_jax           WORKDIR, WORKDIR/checkpoints/STEP, WORKDIR/model"""

# In this order: each returns None for a directory of another kind.
_RECOGNISERS = (
    own_runs.recognise,
    hugging_face.recognise,
    tensorflow_bundles.recognise_hub_module,
    tensorflow_bundles.recognise_openai,
    tensorflow_bundles.recognise_google,
    fairseq.recognise,
)


def open_source(name: str | os.PathLike[str], what: str = "checkpoint") -> Source:
    """Opens a checkpoint of any format in `TABLE`.

    Args:
      name: a directory, one of the files in it, or TensorFlow's prefix
        `bert_model.ckpt`; relative to BERTGEN_DATA_DIR or the working directory.
      what: what messages call it, such as "init.encoder".

    Raises:
      CheckpointError: there is nothing, or no checkpoint of a known format; a file of
        it is missing or damaged, or its tensors do not fit its configuration.
    """
    directory, prefix = locate(name, what)
    for recognise in _RECOGNISERS:
        source = recognise(directory, prefix)
        if source is not None:
            source.check()
            return source
    present = sorted(path.name for path in directory.iterdir())
    more = ", ..." if len(present) > 10 else ""
    raise CheckpointError(
        f"{what}: {directory} is no checkpoint of a known format; it holds "
        f"{', '.join(present[:10]) or 'nothing'}{more}. Expected one of\n{TABLE}"
    )


def locate(
    name: str | os.PathLike[str], what: str = "checkpoint"
) -> tuple[pathlib.Path, pathlib.Path | None]:
    """The directory of a checkpoint, and the prefix of a TensorFlow one if named.

    Args:
      name: see `open_source`.
      what: what messages call it.

    Raises:
      CheckpointError: there is nothing of that name.
    """
    name = os.fspath(name)
    stem = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", name)
    try:
        index = paths.find(f"{stem}.index", what)
    except ConfigError:
        pass
    else:
        return index.parent.resolve(), index.resolve().with_suffix("")
    try:
        path = paths.find(name, what).resolve()
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if path.is_file():
        return path.parent, None
    inner = [child for child in path.iterdir() if not child.name.startswith(".")]
    if len(inner) == 1 and inner[0].is_dir():  # as archives unpack
        path = inner[0]
    return own_runs.find_model(path), None
