"""Finds the files of tokenizers in a directory, and reads vocabularies."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.errors import TokenizerError, nearest
from bertgen_jax.files.json_files import MAX_BYTES, shown
from bertgen_jax.files.paths import StrPath
from bertgen_jax.normalization import is_unicode
from bertgen_jax.tokenizers import tokenizer_config, tokenizer_json
from bertgen_jax.tokenizers.added_tokens import is_id
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, SENTENCEPIECE, WORDPIECE
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson

TOKENIZER_JSON = "tokenizer.json"
ANY_MODEL = "*.model"
# The files of a vocabulary by kind. The first alternative that is complete is read.
FILE_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    SENTENCEPIECE: (("spiece.model",), ("tokenizer.model",), (ANY_MODEL,)),
    WORDPIECE: ((TOKENIZER_JSON,), ("vocab.txt",)),
    BYTE_LEVEL_BPE: (
        (TOKENIZER_JSON,),
        ("vocab.json", "merges.txt"),
        ("encoder.json", "vocab.bpe", "dict.txt"),  # fairseq
        ("encoder.json", "vocab.bpe"),  # openai/gpt-2
    ),
}
# Where a TF Hub module and a work directory have these files.
SUBDIRECTORIES = ("assets", "tokenizer")
# Hugging Face classes that are equivalent to ours on these files. Many other classes
# split text in another way first, or number pieces differently.
KIND_OF_CLASS = {
    "BertGenerationTokenizer": SENTENCEPIECE,
    "BertTokenizer": WORDPIECE,
    "DistilBertTokenizer": WORDPIECE,
    "ElectraTokenizer": WORDPIECE,
    "GPT2Tokenizer": BYTE_LEVEL_BPE,
    "RobertaTokenizer": BYTE_LEVEL_BPE,
    "BartTokenizer": BYTE_LEVEL_BPE,
    "LongformerTokenizer": BYTE_LEVEL_BPE,
}
# Hugging Face classes that read any tokenizer.json.
GENERIC_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")

_MAX_LISTED = 10  # files in a message


@dataclasses.dataclass(frozen=True)
class VocabularyFiles:
    """The files of one tokenizer.

    Attributes:
      kind: a key of `FILE_NAMES`.
      paths: in the order of `FILE_NAMES`.
      parsed: the contents of tokenizer.json, if that is the file.
      directory: may have more files of Hugging Face's; None if the user named a
        vocabulary file, which is then read alone.
    """

    kind: str
    paths: tuple[pathlib.Path, ...]
    parsed: TokenizerJson | None = None
    directory: pathlib.Path | None = None


def find(
    path: StrPath, kinds: Sequence[str] = tuple(FILE_NAMES)
) -> tuple[VocabularyFiles, ...]:
    """Finds the files of tokenizers.

    Args:
      path: a directory, or one of the files. A prefix of its usual name, such as
        `gpt2_` in `gpt2_vocab.json`, is expected in the names of the other files too.
      kinds: the kinds to look for.

    Returns:
      At least one entry, and at most one of each kind.

    Raises:
      TokenizerError: there is no tokenizer of these kinds, or only a part of one.
    """
    path = pathlib.Path(path).expanduser()
    files: tuple[VocabularyFiles, ...] = ()
    if path.is_dir():
        for directory in (path, *(path / name for name in SUBDIRECTORIES)):
            files = files or _in_directory(directory, kinds)
    elif path.is_file():
        files = _of_file(path, kinds)
    else:
        raise TokenizerError(
            f"{path} does not exist. Expected a tokenizer directory or a vocabulary "
            "file on this machine; nothing is downloaded."
        )
    if not files:
        raise TokenizerError(_missing_message(path, kinds))
    return files


def _in_directory(
    directory: pathlib.Path, kinds: Sequence[str]
) -> tuple[VocabularyFiles, ...]:
    """Returns the tokenizers of these kinds in a directory."""
    tokenizers = []
    parsed = None
    if set(kinds) != {SENTENCEPIECE} and (directory / TOKENIZER_JSON).is_file():
        parsed = tokenizer_json.read(directory / TOKENIZER_JSON)
    for kind in kinds:
        # Files beside a tokenizer.json are ignored, because they may disagree with it.
        if parsed and kind != SENTENCEPIECE:
            if parsed.kind == kind:
                tokenizers.append(
                    VocabularyFiles(kind, (parsed.file,), parsed, directory)
                )
            continue
        for names in FILE_NAMES[kind]:
            matches = [sorted(directory.glob(name)) for name in names]
            if all(len(paths) == 1 for paths in matches):
                paths = tuple(path for (path,) in matches)
                tokenizers.append(VocabularyFiles(kind, paths, None, directory))
                break
    if any(files.parsed is None for files in tokenizers):
        name = tokenizer_config.tokenizer_class(directory)
        if name not in ("", *KIND_OF_CLASS, *GENERIC_CLASSES):
            raise TokenizerError(
                f"The tokenizer_class in {directory} is {name!r}, which may split text "
                f"in another way; expected {', '.join(KIND_OF_CLASS)}, or a "
                "tokenizer.json. To ignore the class, name the vocabulary file instead "
                "of the directory."
            )
    return tuple(tokenizers)


def _of_file(file: pathlib.Path, kinds: Sequence[str]) -> tuple[VocabularyFiles, ...]:
    """Returns the tokenizer that a file belongs to, with the other files of it."""
    if file.name.endswith(TOKENIZER_JSON):
        parsed = tokenizer_json.read(file)
        if parsed.kind is None or parsed.kind not in kinds:
            return ()
        return (VocabularyFiles(parsed.kind, (file,), parsed),)
    for kind in kinds:
        for names in FILE_NAMES[kind]:
            for name in (name.removeprefix("*") for name in names):
                if not file.name.endswith(name):
                    continue
                prefix = file.name.removesuffix(name)
                paths = [file.with_name(prefix + other) for other in names]
                paths = [file] if len(names) == 1 else paths
                if all(path.is_file() for path in paths):
                    return (VocabularyFiles(kind, tuple(paths)),)
    if tuple(kinds) in ((SENTENCEPIECE,), (WORDPIECE,)):
        # The caller knows the kind, which has one file, so any name will do.
        return (VocabularyFiles(kinds[0], (file,)),)
    return ()


def _missing_message(path: pathlib.Path, kinds: Sequence[str]) -> str:
    """Returns the message for a missing tokenizer, or a part of one."""
    directory = path if path.is_dir() else path.parent
    present = sorted(child.name for child in directory.glob("*"))
    more = ", ..." if len(present) > _MAX_LISTED else ""
    listed = ", ".join(present[:_MAX_LISTED]) + more
    alternatives = [names for kind in kinds for names in FILE_NAMES[kind]]
    expected = "; ".join(dict.fromkeys(" and ".join(names) for names in alternatives))
    if path.is_file():
        message = f"{path} is not a vocabulary of a known name, or a part is missing"
    else:
        message = f"Found no tokenizer in {path}, which holds {listed or 'nothing'}"
    hint = nearest(alternatives[0][0], present)
    message += f". Expected one of: {expected}.{hint}"
    if TOKENIZER_JSON in present:
        parsed = tokenizer_json.read(directory / TOKENIZER_JSON)
        if parsed.kind is not None:
            return f"{message} Its tokenizer.json is {parsed.kind}."
        return (
            f"{message} Its tokenizer.json is of type "
            f"{tokenizer_json.model_type(parsed.model)}, which is not supported. If it "
            "was made from a SentencePiece model, copy that model here."
        )
    for names in alternatives:
        missing = [name for name in names if name not in present]
        if 0 < len(missing) < len(names):
            complete = " and ".join(name for name in names if name in present)
            message += f" {complete} lacks {' and '.join(missing)}."
            break
    if len(list(directory.glob(ANY_MODEL))) > 1 and (ANY_MODEL,) in alternatives:
        message += f" There are several {ANY_MODEL}: name one of them."
    if "dict.txt" in present:
        message += (
            " Archives of fairseq contain only dict.txt. The other two files are "
            "GPT-2's and are published in fairseq's directory gpt2_bpe."
        )
    return message


def read_text(file: StrPath) -> str:
    """Reads a text file of moderate size; line ends of any kind become "\\n".

    Raises:
      TokenizerError: it cannot be read, is not UTF-8, or is too large.
    """
    file = pathlib.Path(file)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TokenizerError(
                f"{file} has {file.stat().st_size:,} bytes; expected a file of a "
                f"tokenizer, which has at most {MAX_BYTES:,}."
            )
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise TokenizerError(f"Cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{file} is not text in UTF-8 ({error.reason} at byte {error.start:,}); "
            "expected a file of a tokenizer."
        ) from error


def check_vocabulary(pieces: Any, name: str) -> dict[str, int]:
    """Checks that each piece has a row of its own, without gaps from 0 on.

    Args:
      pieces: any value, such as one of a JSON file.
      name: what messages call it.

    Returns:
      The row of each piece.

    Raises:
      TokenizerError: it is not such a vocabulary.
    """
    if not isinstance(pieces, Mapping) or not pieces:
        raise TokenizerError(
            f"{name} is {shown(pieces)}; expected an object of pieces, each with its "
            "row."
        )
    for piece, row in pieces.items():
        if not (isinstance(piece, str) and piece and is_id(row)):
            raise TokenizerError(
                f"{name} has {shown(piece)}: {shown(row)}; expected a piece and its "
                "row."
            )
    if not is_unicode("".join(pieces)):
        broken = next(piece for piece in pieces if not is_unicode(piece))
        raise TokenizerError(
            f"{name} has the piece {broken!r}, half of a character; expected text."
        )
    owners: dict[int, str] = {}
    for piece, row in pieces.items():
        if owners.setdefault(row, piece) != piece:
            raise TokenizerError(
                f"{name} has {owners[row]!r} and {piece!r} in row {row:,}; expected a "
                "row for each."
            )
    if len(owners) <= max(owners):
        missing = next(row for row in range(len(owners) + 1) if row not in owners)
        raise TokenizerError(
            f"{name} has {len(pieces):,} pieces, the last in row {max(owners):,}, and "
            f"none in row {missing:,}; expected one in each. The file is damaged."
        )
    return dict(pieces)
