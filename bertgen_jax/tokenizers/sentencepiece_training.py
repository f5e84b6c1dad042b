"""Training of SentencePiece vocabularies from texts."""

import io
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Unpack

import numpy as np
import sentencepiece

from bertgen_jax.errors import TokenizerError, check_choice
from bertgen_jax.normalization import SEPARATOR, check_steps, normalize
from bertgen_jax.tokenizers.pretrained_tokenizer import (
    DEFAULTS,
    Options,
    complete_options,
)
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer

MODEL_TYPES = ("bpe", "unigram")

_log = logging.getLogger(__name__)


def train_sentencepiece(
    texts: Iterable[str],
    vocab_size: int,
    *,
    model_type: str = "bpe",
    character_coverage: float = 1.0,
    user_defined_symbols: Sequence[str] = (SEPARATOR,),
    max_texts: int | None = 1_000_000,
    seed: int = 0,
    **options: Unpack[Options],
) -> BertGenerationTokenizer:
    """Learns a SentencePiece vocabulary.

    The first ids are those of the published BertGeneration vocabulary: `<pad>` 0,
    `</s>` 1, `<s>` 2. They are followed by `<unk>` 3, the user-defined symbols, and the
    learned pieces. The model itself rewrites no character (SentencePiece's "identity"
    rule); only the steps in `normalization` do. The same arguments give the same bytes,
    as long as the version of sentencepiece stays the same.

    Args:
      texts: the corpus; its texts may have any length.
      vocab_size: the largest number of ids. A small corpus gives fewer pieces, with a
        warning.
      model_type: "bpe", like GPT-2's pieces and so the published ones; or "unigram",
        which in sentencepiece 0.2.3, not in 0.2.2, misses many frequent words of a
        small corpus.
      character_coverage: the share of the corpus's characters that become pieces; the
        rarest become `<unk>`. Below 1.0 for scripts with many characters.
      user_defined_symbols: strings that are one id each, wherever they stand.
      max_texts: learn from a random sample of this many texts; from all if None.
      seed: for the sample.
      **options: options of the tokenizer; see `Options`. Its `normalization` is applied
        to the corpus, too.

    Returns:
      The tokenizer; its `save_pretrained` writes it.

    Raises:
      TokenizerError: there is no text, or the vocabulary is too small for the
        characters of the texts.
      ConfigError: an unknown model type, option or normalization step.
    """
    check_choice("model_type", model_type, MODEL_TYPES)
    steps = check_steps(complete_options(options, DEFAULTS)["normalization"])
    sample = [normalize(text, steps) for text in _sample(texts, max_texts, seed)]
    if not any(text.strip() for text in sample):
        raise TokenizerError(
            f"The {len(sample)} texts to learn a vocabulary from are blank; expected "
            "at least one character."
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,  # vocab_size is an upper limit
            character_coverage=character_coverage,
            user_defined_symbols=list(user_defined_symbols),
            pad_id=0,
            eos_id=1,
            bos_id=2,
            unk_id=3,
            normalization_rule_name="identity",
            max_sentence_length=2**30,  # bytes; by default texts over 4192 are skipped
            num_threads=16,  # a constant, because it changes how sums are rounded
            minloglevel=3,  # the library logs to the console, not to Python's logging
        )
    except RuntimeError as error:
        required = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if required is None:
            raise TokenizerError(
                f"SentencePiece cannot learn {vocab_size} pieces from these texts: "
                f"{error}"
            ) from error
        raise TokenizerError(
            f"vocab_size is {vocab_size}, but the special strings and the characters "
            f"of these texts need {required[1]} ids. Expected at least as many, or a "
            f"character_coverage below {character_coverage}."
        ) from error
    tokenizer = BertGenerationTokenizer(model.getvalue(), **options)
    if tokenizer.vocab_size < vocab_size:
        _log.warning(
            "vocabulary of %d ids, not %d: the %d texts have no more pieces",
            tokenizer.vocab_size,
            vocab_size,
            len(sample),
        )
    return tokenizer


def _sample(texts: Iterable[str], size: int | None, seed: int) -> list[str]:
    """Draws a uniform sample in one pass (Vitter's algorithm R).

    Returns all texts if `size` is None.
    """
    generator = np.random.default_rng(seed)
    sample: list[str] = []
    for number, text in enumerate(texts):
        if size is None or number < size:
            sample.append(text)
        elif (place := int(generator.integers(number + 1))) < size:
            sample[place] = text
    return sample
