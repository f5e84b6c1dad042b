"""The suffix of a file states its format and whether it is compressed."""

import gzip

import pytest

from bertgen_jax.data.formats import suffixes


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("train.jsonl", "jsonl"),
        ("a/b.CSV.gz", "csv"),
        ("x.tsv.GZ", "tsv"),
        ("x.tfrecord-00003-of-00010", "tfrecord"),
        ("x.parquet-1-of-2.gz", "parquet"),
        ("newstest.sgm", "sgm"),
        ("train.en.gz", None),
        ("jsonl", None),
        ("x.jsonl.txt", None),
    ],
)
def test_the_format_is_the_suffix_before_shards_and_gz(name, format):
    assert suffixes.format_of(name) == format


def test_only_gz_files_are_decompressed(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"text"))
    (tmp_path / "y").write_bytes(gzip.compress(b"text"))
    assert suffixes.open_file(tmp_path / "x.gz").read(0, 4) == b"text"
    assert suffixes.open_file(tmp_path / "y", "y").read(0, 2) == b"\x1f\x8b"
