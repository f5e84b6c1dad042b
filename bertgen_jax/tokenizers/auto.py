"""`AutoTokenizer`: a path in, a tokenizer of the kind whose files lie there out."""

import os
from typing import Any

from bertgen_jax import errors
from bertgen_jax.tokenizers import tokenizer_config, vocabulary_files
from bertgen_jax.tokenizers.base import PretrainedTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, SENTENCEPIECE, WORDPIECE
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.vocabulary_files import GENERIC_PEERS, PEERS, Files
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

CLASSES: dict[str, type[PretrainedTokenizer]] = {
    SENTENCEPIECE: BertGenerationTokenizer,
    WORDPIECE: WordPieceTokenizer,
    BYTE_LEVEL_BPE: ByteLevelBPETokenizer,
}


class AutoTokenizer:
    """Picks the kind of tokenizer by the files that are there."""

    @staticmethod
    def from_pretrained(
        source: str | os.PathLike[str], **overrides: Any
    ) -> PretrainedTokenizer:
        """Loads a tokenizer.

        Args:
          source: a directory: Hugging Face's, one of the original TF or fairseq
            checkpoints, a TF Hub module, or one that a tokenizer has saved itself to;
            or a vocabulary file. `vocabulary_files.LAYOUTS` has the names.
          **overrides: arguments of the constructor that replace what the files say.

        Raises:
          TokenizerError: there is no tokenizer, or not one alone; or a file is corrupt
            or of another kind.
          ConfigError: an argument that the constructor of this kind refuses.
        """
        found = vocabulary_files.find(source)
        files = found[0] if len(found) == 1 else _choose(found)
        return CLASSES[files.kind].from_files(files, **overrides)


def _choose(found: tuple[Files, ...]) -> Files:
    """Of several kinds in a directory, the one that its tokenizer_class names."""
    directory = found[0].directory
    name = tokenizer_config.peer_class(directory)
    chosen = [files for files in found if files.kind == PEERS.get(name)]
    if name in GENERIC_PEERS:
        chosen = [files for files in found if files.parsed]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(
        f"{' and '.join(path.name for path in files.paths)} ({files.kind})"
        for files in found
    )
    raise errors.TokenizerError(
        f"{directory} holds several tokenizers: {listed}. Name the file that is meant "
        "instead of the directory, or remove the others."
    )
