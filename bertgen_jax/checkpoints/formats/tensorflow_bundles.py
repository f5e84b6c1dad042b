"""What TensorFlow wrote, BERT, GPT-2 and the paper's TF Hub modules; a `Source` out."""

import pathlib
from collections.abc import Mapping

from bertgen_jax.checkpoints import gpt2_maps, name_maps, spellings, tf_bundle
from bertgen_jax.checkpoints.formats import bert_stacks
from bertgen_jax.checkpoints.source import Source, translate
from bertgen_jax.checkpoints.tensor_files import TensorFile
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    read_json,
)


def recognise_google(
    directory: pathlib.Path, prefix: pathlib.Path | None
) -> Source | None:
    """google-research/bert, from TensorFlow 1 or 2."""
    prefix = prefix or tf_bundle.latest_prefix(directory)
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
    try:
        config, first = bert_stacks.config(read_json(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    is_tf2 = any(name.endswith(spellings.TF2_MARK) for name in bundle.tensors)
    return bert_stacks.source(
        directory,
        f"TensorFlow {2 if is_tf2 else 1} checkpoint of google-research/bert",
        "bert",
        config,
        first,
        bundle,
        spellings.TENSORFLOW2 if is_tf2 else spellings.GOOGLE,
    )


def recognise_openai(
    directory: pathlib.Path, prefix: pathlib.Path | None
) -> Source | None:
    """openai/gpt-2, whose models have a hparams.json."""
    path = directory / "hparams.json"
    if not path.is_file():
        return None
    prefix = prefix or tf_bundle.latest_prefix(directory)
    if prefix is None:
        raise CheckpointError(
            f"{directory}: holds hparams.json but no model.ckpt.index; expected the "
            "checkpoint of openai/gpt-2 beside it."
        )
    try:
        config = BertGenerationConfig.from_dict(
            {"model_type": "gpt2", **read_json(path)}
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    bundle = tf_bundle.open_bundle(prefix)
    names, foreign = translate(bundle, spellings.OPENAI)
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


def recognise_hub_module(
    directory: pathlib.Path, prefix: pathlib.Path | None
) -> Source | None:
    """A `bertseq2seq` module of the paper; its graph is never run."""
    is_module = any(
        (directory / name).is_file() for name in ("saved_model.pb", "tfhub_module.pb")
    )
    if not is_module:
        return None
    bundle = tf_bundle.open_bundle(directory / "variables" / "variables")
    is_shared = not any("/decoder/layer_" in name for name in bundle.tensors)
    spelling = spellings.bertseq2seq(is_shared)
    names, foreign = translate(bundle, spelling)
    config = _hub_config(bundle, names, directory, is_shared)
    return Source(
        path=directory,
        format="TF Hub module of google/bertseq2seq",
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
    stack = bert_stacks.sizes(bundle, names, "decoder.bert.")
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
    for path in (directory / "assets").glob("*vocab*.txt"):
        pieces = path.read_text(encoding="utf-8").split("\n")
        rows = {piece: row for row, piece in enumerate(pieces)}
        for name, piece in zip(ids, ("[PAD]", "[CLS]", "[SEP]"), strict=True):
            ids[name] = rows.get(piece, ids[name])
    return ids
