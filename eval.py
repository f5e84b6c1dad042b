"""Evaluates a trained model: python eval.py --workdir=DIR [--split=test] [--step=best]

Uses the config that the work directory was trained with, unless --config=configs/...
and --config.FIELD=VALUE give another, for example to search with other settings. Writes
WORKDIR/predictions/SPLIT-STEP.jsonl and WORKDIR/results/SPLIT-STEP.json.
"""

import sys

if __name__ == "__main__":  # before the imports, which take seconds
    print("eval.py: loading JAX", file=sys.stderr, flush=True)

import pathlib

import jax
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from bertgen_jax import processes
from bertgen_jax.evaluation import evaluator, report
from bertgen_jax.experiment import flags as flags_lib
from bertgen_jax.files import compilation_cache
from configs import common

SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "split to evaluate")
STEP = flags.DEFINE_string("step", "best", "best, latest or a number")


def main(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Evaluates a checkpoint on a split and prints a table of the scores."""
    compilation_cache.enable()
    if config.multihost:
        # A run of several processes may be evaluated by one.
        processes.connect(may_be_alone=True)
    evaluation = evaluator.evaluate_run(config, workdir, SPLIT.value, STEP.value)
    if jax.process_index() == 0:
        console = Console()
        console.print(report.table(evaluation.results))
        print(report.footnotes(evaluation.results))
        print(f"\n{report.samples(evaluation.predictions)}\n")
        step = evaluation.results.step
        print(f"Predictions: {workdir}/predictions/{SPLIT.value}-{step}.jsonl")
        print(f"Results:     {workdir}/results/{SPLIT.value}-{step}.json")
    return 0


if __name__ == "__main__":
    flags_lib.define_flags()
    defaults = common.get_config()
    sys.exit(flags_lib.run(main, sys.argv, __doc__, defaults=defaults))
