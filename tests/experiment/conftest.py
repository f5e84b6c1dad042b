"""A demo's config, its tokenizer and a file of examples for it."""

import json

import pytest

from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from configs import bbc_summarize

TEXTS = ["the old boat sank near the port", "nobody was hurt", "an “odd” – quote…"] * 9


@pytest.fixture
def config():
    return bbc_summarize.get_config("demo")


@pytest.fixture(scope="session")
def texts():
    return TEXTS


@pytest.fixture(scope="session")
def tokenizer():
    return train_sentencepiece(TEXTS, 60)


@pytest.fixture
def rows_file(tmp_path):
    """Rows of a file, of which one is not JSON."""
    path = tmp_path / "rows.jsonl"
    rows = [{"text": text, "short": text.split()[0]} for text in TEXTS]
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines[:5], "{broken", *lines[5:]]))
    return path


@pytest.fixture
def config_of_rows(config, rows_file):
    """The config, with the valid rows of the file as training data."""
    config.data.update(train=str(rows_file), on_bad_row="skip")
    config.data.columns.update(source="text", target="short", id="")
    return config
