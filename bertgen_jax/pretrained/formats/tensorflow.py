"""What TensorFlow wrote, BERT, GPT-2 and the paper's TF Hub modules; a `Source` out."""

import pathlib
from collections.abc import Mapping

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.pretrained import gpt2_maps, key_maps, name_maps
from bertgen_jax.pretrained.containers import tf_bundle
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.formats import bert, foreign_config
from bertgen_jax.pretrained.formats.location import Place
from bertgen_jax.pretrained.opened_checkpoint import Source, check_layers, translate

_HPARAMS = ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")  # no shape says n_head
_HUB = "TF Hub module of google/bertseq2seq"


def recognise_google(place: Place) -> Source | None:
    """google-research/bert, from TensorFlow 1 or 2.

    Raises:
      CheckpointError: there is no configuration of a BERT beside it, or a file is
        damaged.
    """
    directory = place.directory
    prefix = place.prefix or tf_bundle.latest_prefix(directory)
    if prefix is None:
        return None
    bundle = tf_bundle.open_bundle(prefix)
    config_names = ("bert_config.json", "config.json")
    found = [name for name in config_names if (directory / name).is_file()]
    if not found:
        raise CheckpointError(
            f"{bundle.path}: there is no bert_config.json beside it; expected the file "
            "that BERT's archives hold, as no shape says how many heads there are."
        )
    path = directory / found[0]
    values = foreign_config.read(path)
    kind = values.get("model_type", "bert")
    if kind != "bert":
        raise CheckpointError(
            f"{path}: model_type is {kind!r:.99}; expected 'bert' or none, as the "
            "weights beside it are those of TensorFlow."
        )
    try:
        config, first = bert.config(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    is_tf2 = any(name.endswith(key_maps.TF2_MARK) for name in bundle.tensors)
    return bert.source(
        directory,
        f"TensorFlow {2 if is_tf2 else 1} checkpoint of google-research/bert",
        "bert",
        config,
        first,
        bundle,
        key_maps.TENSORFLOW2 if is_tf2 else key_maps.GOOGLE,
    )


def recognise_openai(place: Place) -> Source | None:
    """openai/gpt-2, whose models have a hparams.json.

    Raises:
      CheckpointError: it is another program's, there is no checkpoint beside it, or a
        file is damaged.
    """
    directory, path = place.directory, place.directory / "hparams.json"
    if not path.is_file():
        return None
    prefix = place.prefix or tf_bundle.latest_prefix(directory)
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
    try:
        config = BertGenerationConfig.from_dict({n: values[n] for n in _HPARAMS})
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    bundle = tf_bundle.open_bundle(prefix)
    check_layers(config, bundle)
    names, foreign = translate(bundle, key_maps.OPENAI)
    return Source(
        path=directory,
        format="TensorFlow checkpoint of openai/gpt-2",
        kind="gpt2",
        config=config,
        tensors=bundle,
        weights=tuple(gpt2_maps.openai(config)),
        names=names,
        foreign=foreign,
        unused=gpt2_maps.unused,
    )


def recognise_hub_module(place: Place) -> Source | None:
    """A `bertseq2seq` module of the paper; its graph is never run.

    Raises:
      CheckpointError: its variables are missing or damaged, or those of another module.
    """
    directory = place.directory
    if directory.name == "variables":
        directory = directory.parent
    prefix = directory / "variables" / "variables"
    is_module = any(
        (directory / name).is_file() for name in ("saved_model.pb", "tfhub_module.pb")
    )
    if not is_module or place.prefix not in (None, prefix):
        return None
    bundle = tf_bundle.open_bundle(prefix)
    is_shared = not any("/decoder/layer_" in name for name in bundle.tensors)
    spelling = key_maps.bertseq2seq(is_shared)
    names, foreign = translate(bundle, spelling)
    try:
        config = _hub_config(bundle, names, directory, is_shared)
    except ConfigError as error:
        raise CheckpointError(f"{bundle.path}: {error}") from error
    check_layers(config, bundle)
    return Source(
        path=directory,
        format=_HUB,
        kind="encoder-decoder",
        config=config,
        tensors=bundle,
        weights=tuple(spelling.apply(name_maps.encoder_decoder(config), names)),
        names=names,
        foreign=foreign,
        unused=lambda name: None,
    )


def _hub_config(
    bundle: TensorFile,
    names: Mapping[str, str],
    directory: pathlib.Path,
    is_shared: bool,
) -> EncoderDecoderConfig:
    """The architecture that the shapes of a module say.

    The rest is stated or follows its lineage (paper, section 2): heads of 64, erf gelu
    and eps 1e-12 as in Hugging Face's ports, no output bias.
    """
    stack = bert.sizes(bundle, names, "decoder.bert.", f"a {_HUB}")
    ids = _hub_ids(directory)
    config = BertGenerationConfig(**stack, **ids, lm_head_bias=False)
    return EncoderDecoderConfig.from_stacks(
        config,
        config,
        share_encoder_decoder=is_shared,
        share_embeddings=not is_shared,
        decoder_start_token_id=ids["bos_token_id"],
    )


def _hub_ids(directory: pathlib.Path) -> dict[str, int]:
    """Special ids: BERT's where assets/ holds a vocab.txt, else those of the paper's
    SentencePiece vocabulary.
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
