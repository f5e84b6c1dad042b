"""Measures an epoch of training with its evaluation, beside `Seq2SeqTrainer`.

    python -m benchmarks.train_epoch [--size=small] [--pairs=5000] [--validation=200]
        [--batch=16] [--beams=4] [--new-tokens=64] [--repeats=1] [--output=FILE]

All systems train the same model on the same ids of WikiSplit pairs, from the same
weights, with Adam and the same batch size, evaluate the loss of the validation pairs
and generate a text for each. They take turns, each run in a process of its own. Seconds
are those of training and evaluation together: ours with compiling, saving and scoring
texts, which Seq2SeqTrainer is spared. It pads each batch to its longest texts, once
drawn at random and once from groups of similar length. It needs `accelerate`.
"""

import argparse
import contextlib
import functools
import gzip
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from ml_collections import ConfigDict

from benchmarks import adam, arguments, record, wikisplit
from bertgen_jax.data import batching
from bertgen_jax.experiment.run import Run
from bertgen_jax.pretrained import saving
from bertgen_jax.training import trainer
from configs import wikisplit_split

OURS = "bertgen_jax"
RANDOM = "Seq2SeqTrainer"
GROUPED = "Seq2SeqTrainer, group_by_length"
SYSTEMS = (OURS, RANDOM, GROUPED)

_LONGEST = 128  # tokens of a text


def main() -> int:
    """Prints and writes the results."""
    options = _options()
    if options.run:
        print(json.dumps(_measure(options.run, options)))
        return 0
    machine = record.machine("bertgen_jax", "jax", "jaxlib", "torch", "transformers")
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        prepare(options)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
        for _ in range(options.repeats):
            for name, results in runs.items():
                results.append(_run(name, options))
                print(name, results[-1], flush=True)
    rows = [
        {
            "system": name,
            **{
                field: statistics.median(result[field] for result in results)
                for field in results[0]
            },
        }
        for name, results in runs.items()
    ]
    for row in rows:
        row["ours_is_faster"] = round(row["seconds"] / rows[0]["seconds"], 2)
    settings = ("size", "pairs", "validation", "batch", "beams", "new_tokens")
    record.write(
        options.output or record.results_file("train-epoch", machine),
        record.command("train_epoch"),
        machine,
        {
            "load": load,
            "repeats": options.repeats,
            **{name: getattr(options, name) for name in settings},
            "rows": rows,
        },
    )
    return 0


def config_of(options: argparse.Namespace) -> ConfigDict:
    """Returns the config of our run."""
    config = wikisplit_split.get_config()
    config.update(
        total_steps=options.pairs // options.batch,
        batch_size=options.batch,
        label_smoothing=0.0,
        micro_batches=1,
    )
    config.model.size = options.size
    config.init.recipe = "rnd2rnd"
    config.init.encoder = ""
    config.tokenizer.path = str(
        wikisplit.folder() / "vocab/bert_base_uncased_vocab.txt"
    )
    folder = pathlib.Path(options.folder)
    config.data.train = str(folder / "train.tsv")
    config.data.validation = str(folder / "validation.tsv")
    config.data.test = ""
    config.data.max_source_tokens = config.data.max_target_tokens = _LONGEST
    config.optim.update(
        schedule="constant",
        learning_rate=adam.RATE,
        warmup_steps=0,
        eps=adam.EPSILON,
        clip_norm=0.0,
    )
    config.eval.update(every_steps=0, num_examples=0, batch_size=options.batch)
    config.decode.update(num_beams=options.beams, max_new_tokens=options.new_tokens)
    config.log.every_steps = 50
    return config


def prepare(options: argparse.Namespace) -> None:
    """Writes what all systems read: the pairs, their ids, and the first weights."""
    folder = pathlib.Path(options.folder)
    for name, split, count in (
        ("train", "tune", options.pairs),
        ("validation", "validation", options.validation),
    ):
        path = wikisplit.folder() / f"wikisplit/{split}.tsv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            lines = [next(file) for _ in range(count)]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    config = config_of(options)
    with Run.for_training(config, folder / "prepared") as run:
        for name in ("train", "validation"):
            split = run.split(name)
            rows = [
                {
                    "input_ids": split.encoded.source(i).tolist(),
                    "labels": split.encoded.target(i).tolist(),
                }
                for i in range(len(split.encoded))
            ]
            (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
            if name == "train":
                plan = batching.TrainPlan(
                    split.encoded,
                    split.buckets,
                    batch_size=config.batch_size,
                    seed=config.seed,
                )
                padding = plan.padding_share()
        saving.save(folder / "model", run.model.config, run.first_params())
        search = run.generation_config
        noted = {
            "has_one_table": run.model.config.share_embeddings,
            "padding": padding,
            "ids": {
                "pad_token_id": search.pad_token_id,
                "eos_token_id": search.eos_token_id,
                "decoder_start_token_id": search.decoder_start_token_id,
            },
        }
        (folder / "prepared.json").write_text(json.dumps(noted), encoding="utf-8")


def prepared(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what `prepare` noted: special ids, shared tables, our padding."""
    path = pathlib.Path(options.folder) / "prepared.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _run(name: str, options: argparse.Namespace) -> dict[str, float]:
    fields = ("folder", "size", "pairs", "validation", "batch", "beams", "new_tokens")
    arguments = [
        f"--{field.replace('_', '-')}={getattr(options, field)}" for field in fields
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_epoch", f"--run={name}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Trains in this process; returns seconds, the last loss and the padding."""
    if name == OURS:
        train = functools.partial(_train_ours, options)
    else:
        # Imported here, because ours can be measured on a machine without it.
        from benchmarks import huggingface_epoch

        train = functools.partial(
            huggingface_epoch.train,
            options,
            prepared(options),
            grouped=name == GROUPED,
        )
    with contextlib.redirect_stdout(sys.stderr):
        started_s = time.perf_counter()
        values = train()
        seconds = time.perf_counter() - started_s
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        **{field: round(value, 4) for field, value in values.items()},
    }


def _train_ours(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        trainer.train(config_of(options), workdir)
        lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values = {row["split"]: row for row in map(json.loads, lines)}
    return {
        "train_s": values["train"]["trained_s"],
        "loss": values["validation"]["loss"],
        "padding": prepared(options)["padding"],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="small", help="name of a preset")
    parser.add_argument(
        "--pairs", type=arguments.count, default=5000, help="of the epoch"
    )
    parser.add_argument("--validation", type=arguments.count, default=200, help="pairs")
    parser.add_argument("--batch", type=arguments.count, default=16, help="pairs")
    parser.add_argument("--beams", type=arguments.count, default=4)
    parser.add_argument(
        "--new-tokens", type=arguments.count, default=64, help="of a text, at most"
    )
    parser.add_argument(
        "--repeats", type=arguments.count, default=1, help="runs of each system"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    parser.add_argument("--run", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
