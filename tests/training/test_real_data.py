"""Every config trains on real texts in their published layouts, and scores them."""

import gzip
import importlib
import json
import math

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bertgen_jax.evaluation import evaluator
from bertgen_jax.experiment import splits, tasks
from bertgen_jax.metrics import catalogue
from bertgen_jax.training import trainer

pytestmark = pytest.mark.slow

# A config, the files of train, validation and test, and their columns.
BY_POSITION = {"source": "0", "target": "1", "id": ""}
REVERSED = {"source": "1", "target": "0", "id": ""}
DOCUMENTS = {"source": "document", "target": "summary", "id": "id"}
RUNS = {
    "wikisplit": ("wikisplit_split", "tune validation test", ".tsv", BY_POSITION),
    "minwiki": ("wikisplit_split", "train test test", ".tsv", BY_POSITION),
    "desse": ("wikisplit_split", "train validation test", ".tsv", BY_POSITION),
    "wikisplit reversed": ("discofuse_fuse", "tune validation test", ".tsv", REVERSED),
    "scitldr": (
        "bbc_summarize",
        "train validation test",
        ".jsonl",
        {"source": "source", "target": "target", "id": "paper_id"},
    ),
    "aeslc": ("gigaword_summarize", "train validation test", ".jsonl", DOCUMENTS),
    "meqsum": ("gigaword_summarize", "train validation test", ".jsonl", DOCUMENTS),
    "sumpubmed": ("cnndm_summarize", "train validation test", ".jsonl", DOCUMENTS),
    "multi30k": ("wmt14_en_de", "train validation test_2016_flickr", ".{en,de}", {}),
    "opennmt_ende": ("wmt14_en_de", "train validation test", ".{en,de}", {}),
    "opennmt_ende reversed": ("wmt14_de_en", "train validation test", ".{en,de}", {}),
}
LINES = {"train": 120, "validation": 12, "test": 12}


@pytest.fixture(scope="module", autouse=True)
def _programs_on_disk(tmp_path_factory):
    """Lets the runs share compiled programs, which are the same for all of them."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = [getattr(jax.config, name) for name in names]
    values = [str(tmp_path_factory.mktemp("programs")), 0.1, -1]
    for name, value in zip(names, values, strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def shorten(original, copy, lines):
    """The first lines of a compressed file, as another."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(original, "rb") as content, gzip.open(copy, "wb") as part:
        for _, line in zip(range(lines), content, strict=False):
            part.write(line)


@pytest.mark.parametrize("name", RUNS)
def test_a_data_set_is_trained_on_and_scored(name, data_dir, tmp_path):
    card, parts, suffix, columns = RUNS[name]
    config = importlib.import_module(f"configs.{card}").get_config("demo")
    folder = name.partition(" ")[0]
    suffixes = [".en", ".de"] if "{" in suffix else [suffix]
    for split, part in zip(LINES, parts.split(), strict=True):
        for ending in suffixes:
            copy = tmp_path / "data" / split / f"{part}{ending}.gz"
            shorten(data_dir / folder / f"{part}{ending}.gz", copy, LINES[split])
        config.data[split] = f"{tmp_path}/data/{split}/{part}{suffix}.gz"
    full = importlib.import_module(f"configs.{card}").get_config()
    config.data.columns.update(columns or full.data.columns)
    # One shape and one vocabulary size, so that all sets share the compiled programs.
    config.data.buckets = ((64, 24),)
    config.data.max_source_tokens, config.data.max_target_tokens = 64, 24
    config.decode.max_new_tokens, config.decode.num_beams = 24, 2
    config.tokenizer.vocab_size = 300
    config.update(total_steps=4, batch_size=8)
    config.optim.warmup_steps = 2
    config.eval.update(every_steps=0, num_examples=4, batch_size=8)

    workdir = tmp_path / "run"
    trainer.train(config, workdir)
    evaluation = evaluator.evaluate_run(config, workdir, "test", "best")
    written = json.loads(next((workdir / "results").glob("test-*.json")).read_text())
    names = catalogue.value_names(tasks.get(config.task).metrics)
    assert tuple(written["scores"]) == names
    assert all(math.isfinite(score["value"]) for score in written["scores"].values())
    assert written["examples"] == LINES["test"] == len(evaluation.predictions)
    assert written["paper"]["differences"]


def test_the_config_of_discofuse_reads_its_published_rows(data_dir):
    full = importlib.import_module("configs.discofuse_fuse").get_config()
    full.data.test = str(data_dir / "discofuse" / "examples.tsv")
    examples = splits.open_examples(full, "test")
    assert len(examples) == 4
    assert examples[0].source.startswith("Melvyn Douglas originally was signed")
    assert examples[0].source.endswith("The role ultimately went to Walter Pidgeon .")
    assert examples[0].references[0].count(" , but the role ultimately went") == 1
    assert not examples[0].references[0].endswith(" ")
