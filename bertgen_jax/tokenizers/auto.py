"""`AutoTokenizer`: loads a tokenizer of the kind whose files a directory has."""

from typing import Any

from bertgen_jax.errors import TokenizerError
from bertgen_jax.files.paths import StrPath
from bertgen_jax.tokenizers import tokenizer_config, vocabulary_files
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, SENTENCEPIECE, WORDPIECE
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.vocabulary_files import (
    GENERIC_CLASSES,
    KIND_OF_CLASS,
    VocabularyFiles,
)
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

AnyTokenizer = BertGenerationTokenizer | WordPieceTokenizer | ByteLevelBPETokenizer

CLASSES: dict[str, type[AnyTokenizer]] = {
    SENTENCEPIECE: BertGenerationTokenizer,
    WORDPIECE: WordPieceTokenizer,
    BYTE_LEVEL_BPE: ByteLevelBPETokenizer,
}


class AutoTokenizer:
    """Picks the kind of tokenizer by its files."""

    @staticmethod
    def from_pretrained(source: StrPath, **overrides: Any) -> AnyTokenizer:
        """Loads a tokenizer with the options that were saved beside it.

        Args:
          source: a directory of Hugging Face's, of the original TF or fairseq
            checkpoints, a TF Hub module, or one that `save_pretrained` wrote; or a
            vocabulary file alone. `vocabulary_files.FILE_NAMES` lists the names.
          **overrides: arguments of the constructor that replace those in the files.

        Raises:
          TokenizerError: there is no tokenizer, or more than one; or a file is corrupt
            or of another kind.
          ConfigError: an override is invalid for this kind.
        """
        candidates = vocabulary_files.find(source)
        files = candidates[0] if len(candidates) == 1 else _choose(candidates)
        return CLASSES[files.kind].from_files(files, **overrides)


def _choose(candidates: tuple[VocabularyFiles, ...]) -> VocabularyFiles:
    """Returns the tokenizer of a directory that its tokenizer_class names.

    Raises:
      TokenizerError: none, or more than one, fits the class.
    """
    directory = candidates[0].directory
    assert directory is not None  # a single file is never of several kinds
    name = tokenizer_config.tokenizer_class(directory)
    if name in GENERIC_CLASSES:
        chosen = [files for files in candidates if files.parsed]
    else:
        kind = KIND_OF_CLASS.get(name)
        chosen = [files for files in candidates if files.kind == kind]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(
        f"{' and '.join(path.name for path in files.paths)} ({files.kind})"
        for files in candidates
    )
    raise TokenizerError(
        f"{directory} holds several tokenizers: {listed}. Name the file of one of them "
        "instead of the directory, or remove the others."
    )
