"""Trains a model: python train.py --config=configs/bbc_summarize.py:demo

To resume an interrupted run, run the same command again.
"""

import sys

if __name__ == "__main__":  # before the imports, which take seconds
    print("train.py: loading JAX", file=sys.stderr, flush=True)

import pathlib
import shlex

import jax
from ml_collections import ConfigDict
from rich.console import Console

from bertgen_jax import processes
from bertgen_jax.evaluation import evaluator, report
from bertgen_jax.experiment import flags
from bertgen_jax.files import compilation_cache
from bertgen_jax.training import trainer


def main(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Trains a model, evaluates its best checkpoint and prints what to run next."""
    compilation_cache.enable()
    if config.multihost:
        processes.connect()
    outcome = trainer.train(config, workdir)
    if outcome.interrupted:
        print(
            f"{outcome.interrupted}: saved step {outcome.step:,} in {workdir}. "
            f"To resume:\n  {shlex.join(['python', *sys.argv])}"
        )
        return 0

    split = "test" if config.data.test else "validation"
    evaluation = evaluator.evaluate_run(config, workdir, split, "best")
    if jax.process_index() != 0:
        return 0
    console = Console()
    console.print()
    console.print(report.table(evaluation.results))
    print(report.footnotes(evaluation.results))
    print(f"\n{report.samples(evaluation.predictions)}\n")
    print(
        f"""Next:
  python eval.py --workdir={workdir} --split=validation
  echo "Your own text." | bertgen generate {workdir / "model"}"""
    )
    if config.data.train.startswith("demo:"):
        print(
            "The model of a demo knows only the invented texts that it was trained on."
        )
    return 0


if __name__ == "__main__":
    flags.define_flags()
    sys.exit(flags.run(main, sys.argv, __doc__))
