"""Measures the time and the memory of `bertgen convert` for a BERT-large.

    python -m benchmarks.convert [--layers=24] [--runs=3] [--directory=DIR]

A checkpoint of random numbers is written to a temporary directory in each of the usual
containers (5 GB in all, removed at the end) and converted to a Hugging Face directory,
each time by a process of its own; its files are in the page cache. There is no other
system to compare with, because version 5 of transformers has no converters.

Linux counts the peaks. The first one includes the pages of mapped files, which stay in
memory only while it is free; the second one counts the process's own pages.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import record
from bertgen_jax.files import crc32c
from bertgen_jax.pretrained.containers import safetensors_file
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from tests.fixtures import tf_bundle_files, torch_files

WORDS, WIDTH, FILTER, POSITIONS, HEADS = 30_522, 1024, 4096, 512, 16
_POLL_S = 0.02  # between two measurements of a process

Variables = dict[str, tuple[int, ...]]  # shapes by the names of google-research/bert


def dense(scope: str, inputs: int, outputs: int) -> Variables:
    """Returns the variables of a linear map."""
    return {f"{scope}/kernel": (inputs, outputs), f"{scope}/bias": (outputs,)}


def norm(scope: str) -> Variables:
    """Returns the variables of a LayerNorm."""
    return {f"{scope}/LayerNorm/{name}": (WIDTH,) for name in ("beta", "gamma")}


def variables(layers: int) -> Variables:
    """Returns the variables of a pre-trained BERT of these sizes."""
    shapes = {
        "bert/embeddings/word_embeddings": (WORDS, WIDTH),
        "bert/embeddings/position_embeddings": (POSITIONS, WIDTH),
        "bert/embeddings/token_type_embeddings": (2, WIDTH),
        **norm("bert/embeddings"),
        **dense("bert/pooler/dense", WIDTH, WIDTH),
        **dense("cls/predictions/transform/dense", WIDTH, WIDTH),
        **norm("cls/predictions/transform"),
        "cls/predictions/output_bias": (WORDS,),
        "cls/seq_relationship/output_weights": (2, WIDTH),
        "cls/seq_relationship/output_bias": (2,),
    }
    for i in range(layers):
        layer = f"bert/encoder/layer_{i}"
        for kind in ("query", "key", "value"):
            shapes |= dense(f"{layer}/attention/self/{kind}", WIDTH, WIDTH)
        shapes |= dense(f"{layer}/attention/output/dense", WIDTH, WIDTH)
        shapes |= norm(f"{layer}/attention/output")
        shapes |= dense(f"{layer}/intermediate/dense", WIDTH, FILTER)
        shapes |= dense(f"{layer}/output/dense", FILTER, WIDTH)
        shapes |= norm(f"{layer}/output")
    return shapes


def as_hugging_face(shapes: Variables) -> Variables:
    """Returns the same variables by Hugging Face's names, in its layout."""
    tensors = {}
    for name, shape in shapes.items():
        shape = shape[::-1] if name.endswith("/kernel") else shape
        name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name).replace("/output_b", "/b")
        name = re.sub(r"_embeddings$", "_embeddings/weight", name)
        name = re.sub(r"(kernel|gamma|output_weights)$", "weight", name)
        tensors[name.replace("beta", "bias").replace("/", ".")] = shape
    return tensors


def draw(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Draws numbers as an initializer does."""
    rng = np.random.default_rng(len(shape) + shape[0])
    return (0.02 * rng.standard_normal(shape, np.float32)).astype(dtype)


def config(layers: int) -> dict[str, int | str]:
    """Returns the configuration file."""
    return {
        "model_type": "bert",
        "vocab_size": WORDS,
        "hidden_size": WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "intermediate_size": FILTER,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "gelu",
    }


def write_tensorflow(directory: pathlib.Path, layers: int) -> None:
    """Writes a bundle, one tensor in memory at a time."""
    messages, offset = {b"": tf_bundle_files.header()}, 0
    with (directory / "bert_model.ckpt.data-00000-of-00001").open("wb") as file:
        for name, shape in sorted(variables(layers).items()):
            values = draw(shape)
            file.write(values)
            messages[name.encode()] = tf_bundle_files.entry(
                shape=shape,
                offset=offset,
                size=values.nbytes,
                crc=crc32c.masked(crc32c.crc32c(values)),
            )
            offset += values.nbytes
    index = tf_bundle_files.table(sorted(messages.items()))
    (directory / "bert_model.ckpt.index").write_bytes(index)
    (directory / "bert_config.json").write_text(json.dumps(config(layers)))


def write_safetensors(
    directory: pathlib.Path, layers: int, dtype: type = np.float32
) -> None:
    """Writes a Hugging Face directory with safetensors."""
    shapes = as_hugging_face(variables(layers))
    infos = {n: TensorInfo(shape, np.dtype(dtype)) for n, shape in shapes.items()}
    path = directory / "model.safetensors"
    safetensors_file.write(path, infos, lambda name: draw(shapes[name], dtype))
    (directory / "config.json").write_text(json.dumps(config(layers)))


def write_half(directory: pathlib.Path, layers: int) -> None:
    """Writes one in half precision, whose conversion is twice as large."""
    write_safetensors(directory, layers, np.float16)


def write_torch(directory: pathlib.Path, layers: int) -> None:
    """Writes a Hugging Face directory with a pickle of torch."""
    shapes = as_hugging_face(variables(layers))
    tensors = {name: draw(shape) for name, shape in shapes.items()}
    torch_files.save(directory / "pytorch_model.bin", tensors)
    (directory / "config.json").write_text(json.dumps(config(layers)))


CHECKPOINTS: dict[str, Callable[[pathlib.Path, int], None]] = {
    "TensorFlow 1 bundle": write_tensorflow,
    "model.safetensors": write_safetensors,
    "model.safetensors, f16": write_half,
    "pytorch_model.bin": write_torch,
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One conversion.

    Attributes:
      seconds: from the start of the process to its end.
      peak_bytes: most resident memory, pages of mapped files included.
      own_bytes: most memory of its own, measured every few milliseconds.
    """

    seconds: float
    peak_bytes: int
    own_bytes: int


def convert(checkpoint: pathlib.Path, target: pathlib.Path) -> Run:
    """Runs `bertgen convert`.

    Raises:
      RuntimeError: it fails.
    """
    command = [sys.executable, "-m", "bertgen_jax", "convert", checkpoint, target]
    started_s, peaks = time.perf_counter(), {"VmHWM": 0, "RssAnon": 0}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        # Not getrusage: that would count what this process had when it forked.
        text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        for field, kib in re.findall(r"(VmHWM|RssAnon):\s+(\d+) kB", text):
            peaks[field] = max(peaks[field], 1024 * int(kib))
        time.sleep(_POLL_S)
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    return Run(time.perf_counter() - started_s, peaks["VmHWM"], peaks["RssAnon"])


def measure(directory: pathlib.Path, layers: int, runs: int) -> Iterator[dict]:
    """Writes, converts and removes each of `CHECKPOINTS`; yields a row for each."""
    for number, (name, write) in enumerate(CHECKPOINTS.items()):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            checkpoint = pathlib.Path(folder) / f"checkpoint-{number}"
            checkpoint.mkdir()
            write(checkpoint, layers)
            size = max(path.stat().st_size for path in checkpoint.iterdir())
            conversions = []
            for _ in range(runs):
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    conversions.append(
                        convert(checkpoint, pathlib.Path(out) / "result")
                    )
        peak = max(run.peak_bytes for run in conversions)
        yield {
            "source": name,
            "file_bytes": size,
            "median_s": round(statistics.median(run.seconds for run in conversions), 2),
            "slowest_s": round(max(run.seconds for run in conversions), 2),
            "peak_bytes": peak,
            "own_bytes": max(run.own_bytes for run in conversions),
            "peak_per_file": round(peak / size, 2),
        }


def main() -> None:
    """Prints a table, and writes it to `record.RESULTS` if it is of the usual size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=24, help="24: BERT-large")
    parser.add_argument("--runs", type=int, default=3, help="of each conversion")
    parser.add_argument("--directory", help="where to write; by default TMPDIR")
    options = parser.parse_args()
    print(f"{'source':24}{'file':>9}{'median':>9}{'slowest':>9}{'peak':>15}{'own':>9}")
    rows = []
    for row in measure(options.directory, options.layers, options.runs):
        rows.append(row)
        print(
            f"{row['source']:24}{row['file_bytes'] / 1e9:6.2f} GB"
            f"{row['median_s']:7.1f} s{row['slowest_s']:7.1f} s"
            f"{row['peak_bytes'] / 1e9:6.2f} GB ={row['peak_per_file']:4.2f}x"
            f"{row['own_bytes'] / 1e9:6.2f} GB",
            flush=True,
        )
    if options.layers == 24:
        machine = record.machine("jax", "numpy", "safetensors")
        record.write(
            record.results_file("convert", machine),
            "python -m benchmarks.convert",
            machine,
            {"runs": options.runs, "rows": rows},
        )


if __name__ == "__main__":
    main()
