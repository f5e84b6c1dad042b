"""Parallel files: their lines belong together by number and are read in any order."""

import concurrent.futures
import gzip
import random

import pytest

from bertgen_jax import errors
from bertgen_jax.data.columns import Example
from bertgen_jax.data.examples import open_examples
from bertgen_jax.data.formats import byte_file

COLUMNS = {"source": "en", "target": "de"}


@pytest.fixture
def write(tmp_path):
    """`write({"x.en": b"a"})`: files, compressed where their names say so."""

    def write(files):
        for name, content in files.items():
            is_compressed = name.endswith(".gz")
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(
                gzip.compress(content) if is_compressed else content
            )

    return write


def read(tmp_path, name="x.{en,de}", columns=COLUMNS, **options):
    return open_examples(name, columns, data_dir=tmp_path, **options)


def rows(examples):
    return [(row.source, *row.references) for row in examples]


def test_lines_of_the_same_number_are_a_row(write, tmp_path):
    write({"x.en": b" a\tb \nc\n", "x.de": "\u2028e\x0cf\ng\rh\n".encode()})
    for _ in range(2):  # the second time from the cached index
        assert list(read(tmp_path)) == [
            Example("x.{en,de}:1", " a\tb ", ("\u2028e\x0cf",)),
            Example("x.{en,de}:2", "c", ("g\rh",)),
        ]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("train/train.{article,title}.txt", ("article", "title")),
        ("{src,tgt}", ("src", "tgt")),
        ("{src/x,tgt/y}.gz", ("src/x", "tgt/y")),
        ("train.{en,de}.gz", ("en", "de")),
        ("{one.gz,other}", ("one.gz", "other")),
        ("matchvp_train.{complex,simple}", ("complex", "simple")),
    ],
)
def test_the_names_in_the_braces_are_the_columns(name, columns, write, tmp_path):
    head, tail = name.partition("{")[0], name.partition("}")[2]
    write({f"{head}{columns[0]}{tail}": b"a\n", f"{head}{columns[1]}{tail}": b"b\n"})
    (row,) = read(tmp_path, name, {"source": columns[0], "target": columns[1]})
    label = name.removeprefix("train/")
    assert row == Example(f"{label}:1", "a", ("b",))
    (back,) = read(tmp_path, name, {"source": columns[1], "target": columns[0]})
    assert (back.source, *back.references) == ("b", "a")


def test_several_references_an_id_and_files_that_are_not_mapped(write, tmp_path):
    write({"id": b"7\n8\n", "s": b"a\nb\n", "r.A": b"c\n\n", "r.B": b"d\ne\n"})
    write({"other": b"\xff\n"})
    with pytest.raises(errors.DataError, match="in column 'other', byte 1 of the row"):
        read(tmp_path, "{s,r.A,other}", {"source": "s", "target": "r.A"})
    examples = read(
        tmp_path, "{s,id,r.A,r.B}", {"source": "s", "target": "r.A,r.B", "id": "id"}
    )
    assert list(examples) == [Example("7", "a", ("c", "d")), Example("8", "b", ("e",))]


def test_columns_are_joined(write, tmp_path):
    write({"x.en": b"a\n\n", "x.de": b"b\nc\n"})
    examples = read(tmp_path, columns={"source": "de+en", "target": "de"})
    assert rows(examples) == [("b a", "b"), ("c", "c")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"a\nb\n", b"c\nd\n"),
        (b"a\r\nb\r\n", b"c\nd"),
        (b"\xef\xbb\xbfa\nb", b"c\nd\r\n"),
        (b"a\nb\n\n \n", b"c\nd\n\n\r\n"),
        (b"a\nb\n\n\n\n", b"c\nd\n\n"),
        (b"a\nb\n", b"c\nd\n\n"),
    ],
)
def test_line_ends_and_blank_lines_at_the_end_do_not_matter(
    first, second, write, tmp_path
):
    write({"x.en": first, "x.de": second})
    assert rows(read(tmp_path)) == [("a", "c"), ("b", "d")]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (b"a\n\nb\n", b"c\nd\ne\n", "line 2: column 'en' is empty"),
        (b"a\nx\nb\n", b"c\n \t\ne\n", "line 2: column 'de' is empty"),
        (b"a\n\nb\n", b"c\n\ne\n", "line 2: column 'en' is empty"),
        (b"a\nx\xff\nb\n", b"c\nd\ne\n", "line 2: in column 'en', byte 2 of the row"),
        (b"a\nx\nb\n", b"c\n\xc3\ne\n", "line 2: in column 'de', byte 1 of the row"),
    ],
)
def test_a_bad_line_does_not_move_the_others(first, second, message, write, tmp_path):
    write({"x.en": first, "x.de": second})
    with pytest.raises(errors.DataError, match=rf"x\.{{en,de}}, {message}.*'skip'\."):
        read(tmp_path)
    examples = read(tmp_path, on_bad_row="skip")
    assert rows(examples) == [("a", "c"), ("b", "e")]
    assert [row.id for row in examples] == ["x.{en,de}:1", "x.{en,de}:3"]
    assert examples.skipped.count == 1


def test_a_blank_line_at_the_end_of_one_file_alone_is_a_bad_row(write, tmp_path):
    write({"x.en": b"a\n\n", "x.de": b"b\nc\n"})
    with pytest.raises(errors.DataError, match="line 2: column 'en' is empty"):
        read(tmp_path)


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_files_of_different_lengths_are_an_error(on_bad_row, write, tmp_path):
    write({"x.en.gz": b"a\nb\nc\n", "x.de.gz": b"d\n", "x.fr.gz": b"d\ne\n"})
    with pytest.raises(
        errors.DataError,
        match=r"x\.{en,de,fr}\.gz: files that belong together have as many lines; "
        r"found 3 in \S+x\.en\.gz and 1 in \S+x\.de\.gz and 2 in \S+x\.fr\.gz\. One",
    ):
        read(tmp_path, "x.{en,de,fr}.gz", on_bad_row=on_bad_row)


def test_empty_files_have_no_rows(write, tmp_path):
    write({"x.en": b"", "x.de": b"\n"})
    with pytest.raises(errors.DataError, match=r"x\.{en,de} has no rows"):
        read(tmp_path)


def test_a_column_without_a_file_is_an_error(write, tmp_path):
    write({"x.en": b"a\n", "x.de": b"b\n"})
    with pytest.raises(
        errors.DataError,
        match=r"no column 'den'; found: 'en', 'de'\. Did you mean 'en'\? The names",
    ):
        read(tmp_path, columns={"source": "en", "target": "den"})


def test_utf16_is_an_error_that_names_it(write, tmp_path):
    write({"x.en": b"a\n", "x.de": "b\n".encode("utf-16")})
    with pytest.raises(errors.DataError, match=r"x\.de begins like a file in UTF-16"):
        read(tmp_path)


def test_lines_have_a_limit(write, tmp_path, monkeypatch):
    write({"x.en": b"a\n", "x.de": b"b\n" + b"c" * 1001})
    monkeypatch.setattr(byte_file, "MAX_RECORD_BYTES", 1000)
    with pytest.raises(errors.DataError, match=r"x\.de, line 2: .*longer than 1,000"):
        read(tmp_path)


def test_files_with_several_columns_are_an_error(write, tmp_path):
    write({"x.en.jsonl.gz": b"{}", "x.de.jsonl.gz": b"{}"})
    with pytest.raises(
        errors.DataError,
        match=r"x\.en\.jsonl\.gz has columns of its own, because it is \.jsonl",
    ):
        read(tmp_path, "x.{en,de}.jsonl.gz")


def test_a_glob_groups_shards_by_the_matched_text(write, tmp_path):
    write({"s-2.en": b"c\n", "s-2.de": b"d\n", "s-10.en": b"a\n", "s-10.de": b"b\n"})
    examples = read(tmp_path, ["s-*.{en,de}"])
    assert list(examples) == [
        Example("s-10.{en,de}:1", "a", ("b",)),
        Example("s-2.{en,de}:1", "c", ("d",)),
    ]
    assert examples.description == "2 examples, 0.0 kB: s-10.{en,de}, s-2.{en,de}"
    with pytest.raises(errors.ConfigError, match=r"s-2\.{en,de} is named twice"):
        read(tmp_path, ["s-*.{en,de}", "s-2.{en,de}"])


def test_texts_and_their_columns_decide_the_fingerprint(write, tmp_path):
    def fingerprint(files, name="x.{en,de}"):
        write(files)
        return read(tmp_path, name).fingerprint

    original = fingerprint({"x.en": b"a\nb\n", "x.de": b"c\nd\n"})
    assert fingerprint({}, "x.{de,en}") == original
    moved = {"y.en.gz": b"a\nb\n", "y.de.gz": b"c\nd\n"}
    assert fingerprint(moved, "y.{en,de}.gz") == original
    others = [
        fingerprint({"x.en": b"a\nb\n", "x.de": b"c\ne\n"}),
        fingerprint({"x.en": b"a\ne\n", "x.de": b"c\nd\n"}),
        fingerprint({"x.en": b"c\nd\n", "x.de": b"a\nb\n"}),
        fingerprint({"x.fr": b"e\nf\n"}, "x.{en,de,fr}"),
    ]
    assert len({original, *others}) == 5


def test_a_file_that_changes_while_it_is_used_is_noticed(write, tmp_path):
    write({"x.en": b"a\n", "x.de": b"b\n"})
    examples = read(tmp_path)
    write({"x.de": b"c\nd\n"})
    with pytest.raises(errors.DataError, match=r"x\.de was changed while it was in"):
        examples[0]


def test_several_threads_read_the_same_rows(write, tmp_path):
    texts = [(f"source {i} " + "x" * (i % 50), f"target {i}") for i in range(300)]
    first, second = ("\n".join(column).encode() for column in zip(*texts, strict=True))
    write({"x.en": first, "x.de": second})
    examples = read(tmp_path)
    order = list(range(300)) * 3
    random.Random(0).shuffle(order)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read_rows = list(pool.map(lambda i: rows([examples[i]]), order))
    assert read_rows == [[texts[i]] for i in order]
