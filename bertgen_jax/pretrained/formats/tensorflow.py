"""Reads TensorFlow checkpoints: BERT, GPT-2 and the paper's TF Hub modules."""

import pathlib
from collections.abc import Mapping

from bertgen_jax import errors
from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import key_maps, parameter_maps
from bertgen_jax.pretrained.containers import tf_bundle
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.formats import bert, foreign_config
from bertgen_jax.pretrained.formats.location import Location
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint, check_layers

# All are needed: no shape tells the number of heads.
_HPARAMS = ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")
_HUB = "TF Hub module of google/bertseq2seq"


def recognise_google(location: Location) -> OpenedCheckpoint | None:
    """Opens google-research/bert of TensorFlow 1 or 2; None without a checkpoint.

    Raises:
      CheckpointError: its bert_config.json is missing or belongs to another kind of
        model, or a file is damaged.
    """
    directory = location.directory
    prefix = location.prefix or tf_bundle.latest_prefix(directory)
    if prefix is None:
        return None
    bundle = tf_bundle.open_bundle(prefix)
    names = ("bert_config.json", "config.json")
    path = next((directory / n for n in names if (directory / n).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{bundle.path}: there is no bert_config.json beside it; expected the file "
            "from BERT's archive, as no shape tells the number of heads."
        )
    values = foreign_config.read(path)
    kind = values.get("model_type", "bert")
    if kind != "bert":
        raise CheckpointError(
            f"{path}: model_type is {kind!r:.99}; expected 'bert' or none, as the "
            "weights beside it are those of TensorFlow."
        )
    with errors.in_file(path):
        config = bert.encoder_config(values)
    is_tf2 = any(name.endswith(key_maps.TF2_MARK) for name in bundle.tensors)
    return bert.open_encoder(
        directory,
        f"TensorFlow {2 if is_tf2 else 1} checkpoint of google-research/bert",
        "bert",
        config,
        0,
        bundle,
        key_maps.TENSORFLOW2 if is_tf2 else key_maps.GOOGLE,
    )


def recognise_openai(location: Location) -> OpenedCheckpoint | None:
    """Opens openai/gpt-2; None for a directory without hparams.json.

    Raises:
      CheckpointError: the hparams.json belongs to another program, there is no
        checkpoint beside it, or a file is damaged.
    """
    directory, path = location.directory, location.directory / "hparams.json"
    if not path.is_file():
        return None
    prefix = location.prefix or tf_bundle.latest_prefix(directory)
    if prefix is None:
        raise CheckpointError(
            f"{directory}: holds hparams.json but no model.ckpt.index; expected the "
            "checkpoint of openai/gpt-2 beside it."
        )
    values = foreign_config.read(path)
    missing = [name for name in _HPARAMS if name not in values]
    if missing:
        raise CheckpointError(
            f"{path}: {', '.join(missing)} missing; expected the sizes of a model of "
            f"openai/gpt-2: {', '.join(_HPARAMS)}."
        )
    with errors.in_file(path):
        config = BertGenerationConfig.from_dict({n: values[n] for n in _HPARAMS})
    bundle = tf_bundle.open_bundle(prefix)
    check_layers(config, bundle)
    names, non_weights = key_maps.OPENAI.translate(bundle)
    weights = key_maps.OPENAI.apply(parameter_maps.gpt2(config), names)
    return OpenedCheckpoint(
        path=directory,
        format="TensorFlow checkpoint of openai/gpt-2",
        kind="gpt2",
        config=config,
        tensors=bundle,
        weights=tuple(weights),
        names=names,
        non_weights=non_weights,
        unused_reason=key_maps.unused_reason_gpt2,
    )


def recognise_hub_module(location: Location) -> OpenedCheckpoint | None:
    """Opens a `bertseq2seq` module of the paper; None for other directories.

    The graph of the module is never run.

    Raises:
      CheckpointError: its variables are missing, damaged or of another module.
    """
    directory = location.directory
    if directory.name == "variables":
        directory = directory.parent
    prefix = directory / "variables" / "variables"
    is_module = any(
        (directory / name).is_file() for name in ("saved_model.pb", "tfhub_module.pb")
    )
    if not is_module or location.prefix not in (None, prefix):
        return None
    bundle = tf_bundle.open_bundle(prefix)
    is_shared = not any("/decoder/layer_" in name for name in bundle.tensors)
    key_map = key_maps.bertseq2seq(is_shared)
    names, non_weights = key_map.translate(bundle)
    with errors.in_file(bundle.path):
        config = _hub_config(bundle, names, directory, is_shared)
    check_layers(config, bundle)
    return OpenedCheckpoint(
        path=directory,
        format=_HUB,
        kind="encoder-decoder",
        config=config,
        tensors=bundle,
        weights=tuple(key_map.apply(parameter_maps.encoder_decoder(config), names)),
        names=names,
        non_weights=non_weights,
        unused_reason=lambda name: None,
    )


def _hub_config(
    bundle: TensorFile,
    names: Mapping[str, str],
    directory: pathlib.Path,
    is_shared: bool,
) -> EncoderDecoderConfig:
    """Infers the architecture of a module from its shapes.

    The rest is as in the paper (section 2) and in Hugging Face's ports: heads of width
    64, erf gelu, eps 1e-12, no output bias.
    """
    stack = bert.sizes(bundle, names, "decoder.bert.", f"a {_HUB}")
    ids = _hub_ids(directory)
    config = BertGenerationConfig.from_dict({**stack, **ids, "lm_head_bias": False})
    return EncoderDecoderConfig.from_stacks(
        config,
        config,
        share_encoder_decoder=is_shared,
        share_embeddings=not is_shared,
        decoder_start_token_id=ids["bos_token_id"],
    )


def _hub_ids(directory: pathlib.Path) -> dict[str, int]:
    """Returns the special ids: BERT's if assets/ holds a vocab.txt, else the paper's.

    The paper's SentencePiece vocabulary has pad 0, eos 1 and bos 2.
    """
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    for path in sorted((directory / "assets").glob("*vocab*.txt"))[:1]:
        try:
            pieces = path.read_bytes().splitlines()
        except OSError as error:
            raise CheckpointError(
                f"{path}: {error.strerror or error}. Expected a vocabulary."
            ) from error
        rows = {piece: row for row, piece in enumerate(pieces)}
        for name, piece in zip(ids, (b"[PAD]", b"[CLS]", b"[SEP]"), strict=True):
            ids[name] = rows.get(piece, ids[name])
    return ids
