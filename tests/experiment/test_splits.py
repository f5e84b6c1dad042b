"""Splits are opened, drawn from and encoded as the config says."""

import jax
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.experiment import splits
from bertgen_jax.tokenizers.pair import TokenizerPair


def test_a_bad_row_is_an_error_or_skipped_and_named(config_of_rows, texts, caplog):
    config = config_of_rows
    config.data.on_bad_row = "raise"
    with pytest.raises(DataError, match="line 6"):
        splits.open_examples(config, "train")
    config.data.on_bad_row = "skip"
    with caplog.at_level("WARNING"):
        assert len(splits.open_examples(config, "train")) == len(texts)
    assert "line 6" in caplog.text


def test_a_split_without_data_is_named(config):
    config.data.validation = ""
    with pytest.raises(ConfigError, match=r"data\.validation is empty.*train, test"):
        splits.open_examples(config, "validation")


def test_a_part_of_the_training_data_is_drawn(config_of_rows):
    config = config_of_rows
    whole = splits.open_examples(config, "train")
    config.data.fraction = 0.5
    part = splits.open_examples(config, "train")
    assert len(part) == round(len(whole) / 2)
    ids = [part[i].id for i in range(len(part))]
    order = [whole[i].id for i in range(len(whole))]
    assert ids == [id_ for id_ in order if id_ in ids]
    assert part.fingerprint != whole.fingerprint
    again = splits.open_examples(config, "train")
    assert again.fingerprint == part.fingerprint
    config.seed = 5
    assert splits.open_examples(config, "train").fingerprint != part.fingerprint
    with pytest.raises(IndexError):
        part[len(part)]
    config.data.validation = config.data.train
    assert len(splits.open_examples(config, "validation")) == len(whole)


def test_buckets_are_chosen_or_set(config_of_rows, tokenizer):
    config, tokenizers = config_of_rows, TokenizerPair.of(tokenizer)
    examples = splits.open_examples(config, "train")
    config.data.update(num_buckets=1, bucket_multiple=16)
    (bucket,) = splits.encode(config, "train", examples, tokenizers).buckets
    assert bucket.source % 16 == bucket.target % 16 == 0
    config.data.buckets = ((64, 8), (100, 32))
    buckets = splits.encode(config, "train", examples, tokenizers).buckets
    assert [(b.source, b.target) for b in buckets] == [(64, 8), (100, 32)]


def test_the_number_of_processes_and_the_host_reach_the_encoding(
    config_of_rows, tokenizer, monkeypatch
):
    config = config_of_rows
    config.data.workers = 3
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    seen = {}
    encode = splits.encoding.encode
    monkeypatch.setattr(
        splits.encoding,
        "encode",
        lambda *args, **named: seen.update(named) or encode(*args, **named),
    )
    examples = splits.open_examples(config, "train")
    splits.encode(config, "train", examples, TokenizerPair.of(tokenizer))
    assert seen["workers"] == 3
    assert seen["share"] == splits.encoding.Share(host=1, hosts=4)
