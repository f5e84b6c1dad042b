"""`open_examples` reads every format and location, in any order."""

import concurrent.futures
import csv
import gzip
import io
import json
import os
import random

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from bertgen_jax import errors
from bertgen_jax.data.columns import Example
from bertgen_jax.data.demo import corpora
from bertgen_jax.data.examples import draw, first, open_examples

COLUMNS = {"source": "document", "target": "summary"}
ROWS = [
    ("a plain text", "short"),
    ("line\u2028separator, \x85 and \x1c", "paragraph\u2029too"),
    ("emoji \U0001f9ea and \u4e2d\u6587", "caf\u00e9"),
    ("a NUL \0 inside", "stays \0"),
    ('"quoted" and, with commas', 'it\'s "fine"'),
    ("  blanks at the ends  ", " kept "),
]


def jsonl(rows, **_):
    return "".join(
        json.dumps({"document": s, "summary": t}, ensure_ascii=False) + "\n"
        for s, t in rows
    ).encode()


def csv_text(rows, **_):
    text = io.StringIO()
    csv.writer(text).writerows([("document", "summary"), *rows])
    return text.getvalue().encode()


def tsv(rows, **_):
    lines = ["document\tsummary", *("\t".join(row) for row in rows)]
    return "".join(line + "\n" for line in lines).encode()


def parquet(rows, **_):
    table = pyarrow.table(
        {"document": [s for s, _ in rows], "summary": [t for _, t in rows]}
    )
    sink = pyarrow.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def tfrecord(rows, writer):
    return b"".join(
        writer.frame(writer.example({"document": [s], "summary": [t]})) for s, t in rows
    )


WRITERS = {
    "x.jsonl": jsonl,
    "x.json": jsonl,
    "x.csv": csv_text,
    "x.tsv": tsv,
    "x.parquet": parquet,
    "x.tfrecord": tfrecord,
    "x.tfrecords": tfrecord,
    "x.tfrecord-00003-of-00010": tfrecord,
    "X.JSONL": jsonl,
}


def read(path, columns=COLUMNS, **options):
    examples = open_examples(str(path), columns, **options)
    return [examples[i] for i in range(len(examples))]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_texts_unchanged(
    name, compressed, tmp_path, tfrecord_writer
):
    content = WRITERS[name](ROWS, writer=tfrecord_writer)
    path = tmp_path / (name + ".gz" if compressed else name)
    path.write_bytes(gzip.compress(content) if compressed else content)
    for _ in range(2):  # the second time from the cached index
        assert read(path) == [
            Example(f"{path.name}:{row}", source, (target,))
            for row, (source, target) in enumerate(ROWS, start=1)
        ]


def test_examples_are_read_in_any_order_and_from_the_end(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(jsonl(ROWS))
    examples = open_examples(str(tmp_path / "x.jsonl"), COLUMNS)
    assert len(examples) == 6
    assert examples[5].references == (" kept ",)
    assert examples[0].source == "a plain text"
    assert examples[-1] == examples[5]
    assert list(examples) == [examples[i] for i in range(6)]
    for index in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            examples[index]


def test_a_glob_is_read_in_the_order_of_names(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.jsonl", "notes.txt"):
        (tmp_path / name).write_bytes(jsonl([(f"from {name}", "t")]))
    sources = [row.source for row in read(tmp_path / "*.jsonl")]
    assert sources == ["from a.jsonl", "from b.jsonl", "from c.jsonl"]


def test_a_list_is_read_in_its_own_order_whatever_the_formats(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(jsonl(ROWS[:1]))
    (tmp_path / "a.csv").write_bytes(csv_text(ROWS[1:3]))
    examples = open_examples(["b.jsonl", "a.csv"], COLUMNS, data_dir=tmp_path)
    assert [(row.source, row.references[0]) for row in examples] == ROWS[:3]
    assert [row.id for row in examples] == ["b.jsonl:1", "a.csv:1", "a.csv:2"]


def test_ids_are_unique_even_if_files_have_the_same_name(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_bytes(jsonl(ROWS[:1]))
    assert [row.id for row in read(tmp_path / "*" / "x.jsonl")] == [
        "one/x.jsonl:1",
        "two/x.jsonl:1",
    ]


def test_naming_a_file_twice_is_an_error(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(jsonl(ROWS))
    with pytest.raises(errors.ConfigError, match=r"x\.jsonl is named twice"):
        open_examples(["x.jsonl", "*.jsonl"], COLUMNS, data_dir=tmp_path)


def test_ids_come_from_the_id_column_even_if_they_are_numbers(tmp_path):
    rows = [{"document": "a", "summary": "b", "n": n} for n in ("x", 7, 2.5)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    examples = read(tmp_path / "x.jsonl", {**COLUMNS, "id": "n"})
    assert [row.id for row in examples] == ["x", "7", "2.5"]


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_a_repeated_id_is_an_error(on_bad_row, tmp_path):
    rows = [{"document": "a", "summary": "b", "n": n} for n in ("x", "y", "z")]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "b.jsonl").write_text(json.dumps(rows[1]))
    with pytest.raises(
        errors.DataError,
        match=r"'y' is given to row 2 of \S+a\.jsonl and to row 1 of \S+b\.jsonl",
    ):
        read(tmp_path / "*.jsonl", {**COLUMNS, "id": "n"}, on_bad_row=on_bad_row)
    assert len(read(tmp_path / "*.jsonl")) == 4


def test_lists_of_texts_are_one_source_and_several_references(tmp_path):
    row = {"document": ["One.", "Two."], "summary": ["first", " ", "second"]}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    assert read(tmp_path / "x.jsonl") == [
        Example("x.jsonl:1", "One. Two.", ("first", "second"))
    ]


def test_several_target_columns_are_several_references(tmp_path):
    (tmp_path / "x.tsv").write_text("d\ts1\ts2\ts3\nsource\ta\t\tc\n")
    (row,) = read(tmp_path / "x.tsv", {"source": "d", "target": "s3, s1,s2"})
    assert row.references == ("c", "a")


def test_skipped_rows_keep_the_numbers_of_the_others(tmp_path):
    lines = jsonl(ROWS[:4]).splitlines(keepends=True)
    lines[1] = b"{not json\n"
    lines[2] = b'{"document": " ", "summary": "t"}\n'
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines))
    examples = open_examples(str(tmp_path / "x.jsonl"), COLUMNS, on_bad_row="skip")
    assert [row.id for row in examples] == ["x.jsonl:1", "x.jsonl:4"]
    assert examples.skipped.count == 2
    assert examples.skipped.reasons == {"malformed JSON": 1, "empty source": 1}
    assert "line 2: Expecting property name" in examples.skipped.messages[0]
    assert "line 3: column 'document' is empty" in examples.skipped.messages[1]
    assert examples.description == (
        "2 examples, 0.2 kB: x.jsonl; 2 rows skipped (1 empty source, 1 malformed JSON)"
    )


def test_skipped_rows_are_counted_over_files_and_from_the_cache(tmp_path):
    for name in ("a", "b"):
        bad = b"[]\n" * 4 + jsonl(ROWS[:1])
        (tmp_path / f"{name}.jsonl").write_bytes(bad)
    for _ in range(2):
        examples = open_examples(
            "*.jsonl", COLUMNS, on_bad_row="skip", data_dir=tmp_path
        )
        assert len(examples) == 2
        assert examples.skipped.count == 8
        assert examples.skipped.reasons == {"no JSON object": 8}
        assert len(examples.skipped.messages) == 5


def test_a_file_without_good_rows_is_an_error(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(jsonl(ROWS))
    with pytest.raises(
        errors.DataError, match=r"not one of 6 rows is good.*no column 'text'; found"
    ):
        read(tmp_path / "x.jsonl", {**COLUMNS, "source": "text"}, on_bad_row="skip")


@pytest.mark.parametrize("name", WRITERS)
def test_columns_of_every_format_are_joined(name, tmp_path, tfrecord_writer):
    (tmp_path / name).write_bytes(WRITERS[name](ROWS[:2], writer=tfrecord_writer))
    columns = {"source": "document+summary", "target": "summary+document, document"}
    (row, _) = read(tmp_path / name, columns)
    assert row.source == "a plain text short"
    assert row.references == ("short a plain text", "a plain text")
    with pytest.raises(errors.DataError, match=r"no column 'sumary'.*'summary'"):
        read(tmp_path / name, {**columns, "source": "document+sumary"})


def test_a_file_without_a_header_has_its_columns_joined_by_position(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\tc\n\td\te\n")
    examples = read(tmp_path / "x.tsv", {"source": "0+1", "target": "2+0,1"})
    assert [(row.source, row.references) for row in examples] == [
        ("a b", ("c a", "b")),
        ("d", ("e", "d")),
    ]


@pytest.mark.parametrize(
    "name", ["x.jsonl", "x.csv", "x.tsv", "x.tfrecord", "x.json.gz"]
)
def test_an_empty_file_is_an_error(name, tmp_path):
    empty = gzip.compress(b"") if name.endswith(".gz") else b""
    (tmp_path / name).write_bytes(empty)
    with pytest.raises(errors.DataError, match=r"has no rows|is empty"):
        read(tmp_path / name)


def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(
        errors.DataError,
        match=r"x\.txt has none.*\.jsonl,.*\.parquet.* by braces, such as 'train\.{en,",
    ):
        read(tmp_path / "x.txt")


@pytest.mark.parametrize("location", [[], "", ["x.jsonl", 3]])
def test_a_location_must_name_something(location):
    with pytest.raises(errors.ConfigError, match="names no data"):
        open_examples(location, COLUMNS)


def test_an_invalid_on_bad_row_is_an_error(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"'skpi'.*Did you mean 'skip'\?"):
        open_examples("x.jsonl", COLUMNS, on_bad_row="skpi")


def test_content_columns_and_on_bad_row_decide_the_fingerprint(tmp_path):
    def fingerprint(name, content, columns=COLUMNS, on_bad_row="raise"):
        (tmp_path / name).write_bytes(content)
        return open_examples(
            name, columns, on_bad_row=on_bad_row, data_dir=tmp_path
        ).fingerprint

    original = fingerprint("a.jsonl", jsonl(ROWS))
    assert fingerprint("a.jsonl", jsonl(ROWS)) == original
    assert fingerprint("moved.jsonl", jsonl(ROWS)) == original
    assert fingerprint("packed.jsonl.gz", gzip.compress(jsonl(ROWS))) == original
    others = [
        fingerprint("a.jsonl", jsonl(ROWS[:5])),
        fingerprint(
            "a.jsonl", jsonl([*ROWS[:5], ("  blanks at the ends  ", " Kept ")])
        ),
        fingerprint(
            "a.jsonl", jsonl(ROWS), {"source": "summary", "target": "document"}
        ),
        fingerprint("a.jsonl", jsonl(ROWS), on_bad_row="skip"),
    ]
    assert len({original, *others}) == 5


def test_the_order_of_files_is_part_of_the_fingerprint(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl(ROWS[:1]))
    (tmp_path / "b.jsonl").write_bytes(jsonl(ROWS[1:2]))
    there, back = (
        open_examples(order, COLUMNS, data_dir=tmp_path).fingerprint
        for order in (["a.jsonl", "b.jsonl"], ["b.jsonl", "a.jsonl"])
    )
    assert there != back


def test_the_description_names_the_first_files(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl(ROWS[:2]))
    examples = open_examples("*.jsonl", COLUMNS, data_dir=tmp_path)
    assert examples.description == (
        "10 examples, 0.6 kB: 0.jsonl, 1.jsonl, 2.jsonl and 2 more"
    )


def test_several_threads_read_the_same_rows(tmp_path, tfrecord_writer):
    rows = [(f"source {i} " + "x" * (i % 50), f"target {i}") for i in range(200)]
    names = ["x.jsonl", "x.csv", "x.parquet", "x.tfrecord"]
    for name in names:
        (tmp_path / name).write_bytes(WRITERS[name](rows, writer=tfrecord_writer))
    examples = open_examples(names, COLUMNS, data_dir=tmp_path)
    order = list(range(len(examples))) * 3
    random.Random(0).shuffle(order)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sources = list(pool.map(lambda i: examples[i].source, order))
    assert sources == [rows[i % 200][0] for i in order]


def test_a_file_that_changes_while_it_is_used_is_noticed(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(ROWS))
    examples = open_examples(str(path), COLUMNS)
    assert examples[0].source == "a plain text"
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(
        errors.DataError, match=r"x\.jsonl was changed while it was in use"
    ):
        examples[0]


def test_a_row_that_is_no_longer_valid_is_an_error(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(ROWS))
    before = path.stat()
    examples = open_examples(str(path), COLUMNS)
    path.write_bytes(b" " * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(errors.DataError, match=r"x\.jsonl, row 3: .*changed since"):
        examples[2]


def test_a_demo_corpus_is_read_by_its_name():
    examples = open_examples("demo:news/test", COLUMNS)
    assert list(examples) == list(corpora.corpus("news", "test"))
    train = open_examples("demo:news", COLUMNS)
    assert train[0] == corpora.corpus("news", "train")[0]
    assert train.fingerprint != examples.fingerprint
    assert train.description.endswith(" MB: demo:news/train")
    again = open_examples("demo:news/test", COLUMNS)
    assert again.fingerprint == examples.fingerprint


@pytest.mark.parametrize("name", ["demo:nows", "demo:news/tset"])
def test_an_unknown_demo_corpus_is_an_error_with_a_suggestion(name):
    with pytest.raises(errors.DataError, match=r"Did you mean '(news|test)'\?"):
        open_examples(name, COLUMNS)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(jsonl(ROWS))
    return open_examples(str(tmp_path / "x.jsonl"), COLUMNS)


def test_the_first_examples_are_a_corpus_too(corpus):
    subset = first(corpus, 2)
    assert list(subset) == [corpus[0], corpus[1]]
    assert len(subset) == 2
    assert subset.fingerprint not in (corpus.fingerprint, first(corpus, 3).fingerprint)
    assert subset.description == "2 (the first 2) of 6 examples, 0.4 kB: x.jsonl"
    assert first(corpus, 0) is first(corpus, 6) is corpus


def test_a_fraction_of_the_examples_is_drawn_in_their_order(corpus):
    subset = draw(corpus, 0.5, seed=0)
    numbers = [list(corpus).index(row) for row in subset]
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers))
    assert draw(corpus, 0.5, seed=0).fingerprint == subset.fingerprint
    assert draw(corpus, 0.5, seed=1).fingerprint != subset.fingerprint
    assert len(draw(corpus, 0.01, seed=0)) == 1
    assert draw(corpus, 1, seed=0) is corpus


texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
@settings(deadline=None)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_whatever_the_standard_writers_write_is_read_back(name, rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / name
    path.write_bytes(WRITERS[name](rows))
    assert [(row.source, *row.references) for row in read(path)] == rows


def test_a_first_row_without_a_column_names_the_flags(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"abstract": "a", "title": "b"}\n')
    columns = {"source": "abstract", "target": "title", "id": "id"}
    with pytest.raises(ValueError, match=r"--config\.data\.columns\.id= ") as error:
        open_examples(str(path), columns)
    assert "on_bad_row" not in str(error.value)
