"""A path in, the checkpoint that lies there out, recognised by its files.

Only headers and indexes are read here, so that what is missing or does not fit shows
before anything large is read or allocated.
"""

import os

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import archives
from bertgen_jax.pretrained.formats import (
    fairseq,
    huggingface,
    location,
    own_runs,
    tensorflow,
)
from bertgen_jax.pretrained.formats.location import Place
from bertgen_jax.pretrained.opened_checkpoint import Source

TABLE = """\
  Hugging Face          config.json, model.safetensors or pytorch_model.bin (or shards)
  google-research/bert  bert_config.json, bert_model.ckpt.index and .data-*
  the paper's TF Hub    saved_model.pb, variables/variables.index and .data-*
  openai/gpt-2          hparams.json, model.ckpt.index and .data-*
  fairseq RoBERTa       model.pt, dict.txt
  bertgen_jax           WORKDIR, WORKDIR/checkpoints/STEP, WORKDIR/model"""

# In this order: each returns None for a directory of another kind.
_RECOGNISERS = (
    lambda place: own_runs.recognise(place.directory),
    huggingface.recognise,
    tensorflow.recognise_hub_module,
    tensorflow.recognise_openai,
    tensorflow.recognise_google,
    fairseq.recognise,
)
# A file that ends so is named for the weights in it, not for its directory.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".npz")


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
    place = location.locate(name, what)
    if place.file is not None and archives.is_archive(place.file):
        raise CheckpointError(
            f"{what}: {place.file} is an archive; expected what is in it. Unpack it, "
            f"or `bertgen convert {place.file.name} DIRECTORY` and name that."
        )
    for recognise in _RECOGNISERS:
        source = recognise(place)
        if source is not None:
            _check_is_meant(place, source, what)
            source.check()
            return source
    present = sorted(path.name for path in place.directory.iterdir())
    more = ", ..." if len(present) > 10 else ""
    raise CheckpointError(
        f"{what}: {place.directory} is no checkpoint of a known format; it holds "
        f"{', '.join(present[:10]) or 'nothing'}{more}. Expected one of\n{TABLE}"
    )


def _check_is_meant(place: Place, source: Source, what: str) -> None:
    """Refuses to read other weights than those that were named."""
    if (
        place.file is not None
        and place.file.name.endswith(_WEIGHTS)
        and place.file != source.tensors.path
    ):
        raise CheckpointError(
            f"{what}: {place.file} was named, but the weights that are read of such a "
            f"directory ({source.format}) are {source.tensors.path}; expected that "
            "name, or the directory's."
        )
