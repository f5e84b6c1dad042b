"""Tokenizes a corpus once and prints what it took: a process of `benchmarks.tokenize`.

    python -P benchmarks/tokenize_run.py CORPUS TOKENIZER CORES WORKERS

It runs with the package of an earlier commit too, so it uses only what both have.
"""

import hashlib
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

corpus, name, cores, workers = sys.argv[1:]
if cores != "all":  # before the libraries count them
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])

from bertgen_jax import normalization  # noqa: E402
from bertgen_jax.data import encoding, examples  # noqa: E402
from bertgen_jax.files import paths  # noqa: E402
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer  # noqa: E402
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer  # noqa: E402
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer  # noqa: E402

FLOOR = "floor"  # as WORKERS: the calls of the libraries alone


def tokenizer():
    """Returns the tokenizer that the command line names."""
    vocabulary = paths.data_dir() / "vocab"
    if name == "SentencePiece":
        return BertGenerationTokenizer(
            vocabulary / "bertgen_50358.model", normalization=normalization.ALL
        )
    if name == "WordPiece":
        return WordPieceTokenizer(vocabulary / "bert_base_uncased_vocab.txt")
    return ByteLevelBPETokenizer(
        vocabulary / "gpt2_vocab.json", vocabulary / "gpt2_merges.txt"
    )


def call_library(library, texts):
    """Calls the C++ or Rust code for all texts in one list."""
    if name == "SentencePiece":
        library._engine._processor.encode(texts, num_threads=-1)
    else:
        library._engine._pipeline.encode_batch_fast(texts, add_special_tokens=False)


def cpu_s(whose):
    """Returns the CPU seconds of this process or of those that it has started."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def peak_mb(process="self"):
    """Returns the peak of the resident memory of a process; 0 if it has ended."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(line[1]) / 1e3 for line in lines if line[0] == "VmHWM:"), 0)


def main():
    """Prints the numbers as JSON."""
    pairs = examples.open_examples(corpus, {"source": "0", "target": "1"})
    encoder = tokenizer()
    values = {"examples": len(pairs), "worker_peak_mb": 0}
    if workers == FLOOR:
        rows = [pairs[index] for index in range(len(pairs))]
        texts = [text for row in rows for text in (row.source, row.references[0])]

    def watch(done, total):
        children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        peaks = map(peak_mb, children.split())
        values["worker_peak_mb"] = max(values["worker_peak_mb"], *peaks, 0)

    values["before_mb"] = peak_mb()
    before_s = cpu_s(resource.RUSAGE_SELF)
    started_s = time.perf_counter()
    if workers == FLOOR:
        call_library(encoder, texts)
    else:
        options = {} if workers == "baseline" else {"workers": int(workers)}
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BERTGEN_CACHE_DIR"] = folder
            spec = encoding.EncodingSpec(128, 128)
            encoded = encoding.encode(pairs, encoder, spec, watch, **options)
            values["seconds"] = time.perf_counter() - started_s
            values["peak_mb"] = peak_mb()
            entry = pathlib.Path(folder) / "encoded" / encoded.fingerprint
            digest = hashlib.sha256()
            for file in sorted(entry.iterdir()):
                digest.update(file.read_bytes())
            values["sha256"] = digest.hexdigest()
    values.setdefault("seconds", time.perf_counter() - started_s)
    values["cpu_s"] = cpu_s(resource.RUSAGE_SELF) - before_s
    values["workers_cpu_s"] = cpu_s(resource.RUSAGE_CHILDREN)
    print(json.dumps(values))


if __name__ == "__main__":
    main()
