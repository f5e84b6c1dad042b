"""Trains a model: python train.py --config=configs/bbc_summarize.py:demo

To resume an interrupted run, run the same command again.
"""

import os
import pathlib
import sys

PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Restarts the script so that memory comes in pages of 2 MB, which is faster.

    XLA's programs for a CPU ask the system for their temporary memory in every step. In
    pages of 4 kB, that is a fifth of a step of base (docs/performance.md). Where Linux
    gives huge pages on request, glibc asks for them, but only if its setting is in the
    environment when the process starts.
    """
    setting = "glibc.malloc.hugetlb"
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if (
        setting in tunables
        or sys.argv[0] not in sys.orig_argv  # in a notebook
        or sys.gettrace()  # in a debugger
        or not PAGES.exists()
        or "[madvise]" not in PAGES.read_text(encoding="utf-8")
    ):
        return
    os.environ["GLIBC_TUNABLES"] = f"{tunables}:{setting}=1".lstrip(":")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":  # before the imports, which take seconds
    restart_with_huge_pages()
    print("train.py: loading JAX", file=sys.stderr, flush=True)

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
