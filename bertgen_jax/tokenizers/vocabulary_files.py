"""A path in; which kinds of tokenizer lie there, and in which files, out."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from bertgen_jax import errors
from bertgen_jax.errors import nearest
from bertgen_jax.tokenizers import tokenizer_config, tokenizer_json
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, SENTENCEPIECE, WORDPIECE
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson

TOKENIZER_JSON = "tokenizer.json"
ANY_MODEL = "*.model"
# Where a kind has its vocabulary. The first layout that is complete is read.
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    SENTENCEPIECE: (("spiece.model",), ("tokenizer.model",), (ANY_MODEL,)),
    WORDPIECE: ((TOKENIZER_JSON,), ("vocab.txt",)),
    BYTE_LEVEL_BPE: (
        (TOKENIZER_JSON,),
        ("vocab.json", "merges.txt"),
        ("encoder.json", "vocab.bpe", "dict.txt"),  # fairseq
        ("encoder.json", "vocab.bpe"),  # openai/gpt-2
    ),
}
FOLDERS = ("assets", "tokenizer")  # where a TF Hub module, and a work directory has it
# The classes of Hugging Face's that make of such files what is made of them here. Of
# the others, many split text in another way first, or number pieces otherwise.
PEERS = {
    "BertGenerationTokenizer": SENTENCEPIECE,
    "BertTokenizer": WORDPIECE,
    "DistilBertTokenizer": WORDPIECE,
    "ElectraTokenizer": WORDPIECE,
    "GPT2Tokenizer": BYTE_LEVEL_BPE,
    "RobertaTokenizer": BYTE_LEVEL_BPE,
    "BartTokenizer": BYTE_LEVEL_BPE,
    "LongformerTokenizer": BYTE_LEVEL_BPE,
}
# They read any tokenizer.json.
GENERIC_PEERS = ("PreTrainedTokenizer", "TokenizersBackend")


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one tokenizer.

    Attributes:
      kind: a name in `LAYOUTS`.
      paths: in the order of their layout.
      parsed: what tokenizer.json says, if that is the file.
      directory: where more of Hugging Face's files may be; None for a vocabulary that
        was named by itself.
    """

    kind: str
    paths: tuple[pathlib.Path, ...]
    parsed: TokenizerJson | None = None
    directory: pathlib.Path | None = None


def find(
    source: str | os.PathLike[str], kinds: Sequence[str] = tuple(LAYOUTS)
) -> tuple[Files, ...]:
    """Finds the files of tokenizers.

    Args:
      source: a directory, or one of the files. What stands in front of the usual name
        of a file, as in `gpt2_vocab.json`, stands in front of its fellow's name too.
      kinds: the kinds that are wanted.

    Returns:
      At least one entry, at most one of a kind.

    Raises:
      TokenizerError: there is no tokenizer of these kinds, or a part of one.
    """
    source = pathlib.Path(source).expanduser()
    if source.is_dir():
        places = (source, *(source / folder for folder in FOLDERS))
        found = next(filter(None, (_inside(place, kinds) for place in places)), ())
    elif source.is_file():
        found = _beside(source, kinds)
    else:
        raise errors.TokenizerError(
            f"There is nothing at {source}. Expected a tokenizer directory or a "
            "vocabulary file on this machine; nothing is downloaded."
        )
    if not found:
        raise errors.TokenizerError(_not_found(source, kinds))
    return found


def _inside(directory: pathlib.Path, kinds: Sequence[str]) -> tuple[Files, ...]:
    found = []
    parsed = None
    if set(kinds) != {SENTENCEPIECE} and (directory / TOKENIZER_JSON).is_file():
        parsed = tokenizer_json.read(directory / TOKENIZER_JSON)
    for kind in kinds:
        # What stands beside a tokenizer.json is not read: the two may not agree.
        if parsed and kind != SENTENCEPIECE:
            if parsed.kind == kind:
                found.append(Files(kind, (parsed.file,), parsed, directory))
            continue
        for layout in LAYOUTS[kind]:
            fitting = [sorted(directory.glob(name)) for name in layout]
            if all(len(paths) == 1 for paths in fitting):
                files = tuple(path for (path,) in fitting)
                found.append(Files(kind, files, None, directory))
                break
    if any(files.parsed is None for files in found):
        name = tokenizer_config.peer_class(directory)
        if name not in ("", *PEERS, *GENERIC_PEERS):
            raise errors.TokenizerError(
                f"The tokenizer_class in {directory} is {name!r}, which may split text "
                f"in another way; expected {', '.join(PEERS)}, or a tokenizer.json. A "
                "vocabulary that is named by itself is read whatever the class."
            )
    return tuple(found)


def _beside(file: pathlib.Path, kinds: Sequence[str]) -> tuple[Files, ...]:
    if file.name.endswith(TOKENIZER_JSON):
        parsed = tokenizer_json.read(file)
        return (Files(parsed.kind, (file,), parsed),) if parsed.kind in kinds else ()
    for kind in kinds:
        for layout in LAYOUTS[kind]:
            for name in (name.removeprefix("*") for name in layout):
                if not file.name.endswith(name):
                    continue
                start = file.name.removesuffix(name)
                paths = [file.with_name(start + other) for other in layout]
                paths = [file] if len(layout) == 1 else paths
                if all(path.is_file() for path in paths):
                    return (Files(kind, tuple(paths)),)
    if tuple(kinds) in ((SENTENCEPIECE,), (WORDPIECE,)):
        return (Files(kinds[0], (file,)),)  # it is said to be one: any name will do
    return ()


def _not_found(source: pathlib.Path, kinds: Sequence[str]) -> str:
    """The message where there is no tokenizer, or half of one."""
    folder = source if source.is_dir() else source.parent
    names = sorted(path.name for path in folder.glob("*"))
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    layouts = [layout for kind in kinds for layout in LAYOUTS[kind]]
    expected = "; ".join(dict.fromkeys(" and ".join(layout) for layout in layouts))
    if source.is_file():
        text = f"{source} is no vocabulary of a known name, or its fellow is missing"
    else:
        text = f"Found no tokenizer in {source}, which holds {listed or 'nothing'}"
    text += f". Expected one of: {expected}.{nearest(layouts[0][0], names)}"
    if TOKENIZER_JSON in names:
        parsed = tokenizer_json.read(folder / TOKENIZER_JSON)
        if parsed.kind is not None:
            return f"{text} The tokenizer.json there is {parsed.kind}."
        return (
            f"{text} The tokenizer.json there is of type "
            f"{tokenizer_json.model_type(parsed.model)}. One that was made from a "
            "SentencePiece model is not read: put the model itself there."
        )
    for layout in layouts:
        missing = [name for name in layout if name not in names]
        if 0 < len(missing) < len(layout):
            present = " and ".join(name for name in layout if name in names)
            text += f" {present} lacks {' and '.join(missing)}."
            break
    if len(list(folder.glob(ANY_MODEL))) > 1 and (ANY_MODEL,) in layouts:
        text += f" Of several {ANY_MODEL}, name the one that is meant."
    if "dict.txt" in names:
        text += (
            " fairseq's archives hold dict.txt alone. The other two are GPT-2's, and "
            "published apart from them, in fairseq's folder gpt2_bpe."
        )
    return text
