"""Published files are read with the number of rows that their description states."""

import gzip

import pytest

from bertgen_jax.data.columns import Example
from bertgen_jax.data.examples import open_examples

BY_POSITION = {"source": "0", "target": "1"}
DOCUMENT = {"source": "document", "target": "summary", "id": "id"}
EN_DE = {"source": "en", "target": "de"}
# Columns of DiscoFuse (github.com/google-research-datasets/discofuse): the second
# coherent sentence is empty where both became one.
FUSION = {
    "source": "incoherent_first_sentence+incoherent_second_sentence",
    "target": "coherent_first_sentence+coherent_second_sentence",
}

# name, columns, rows, the beginnings of the first source and of the last reference of
# the last row, and how many references a row has
FILES = [
    (
        "wikisplit/tune.tsv.gz",
        BY_POSITION,
        5000,
        "' ( 1990 ) was the second sequel to appear",
        "Zubizarreta made his debut for Spain",
        {1},
    ),
    ("wikisplit/validation.tsv.gz", BY_POSITION, 5000, "' Lauren Rose", "Zenica", {1}),
    ("wikisplit/test.tsv.gz", BY_POSITION, 5000, "' Bandolier", "Ziryab also", {1}),
    ("minwiki/train.tsv.gz", BY_POSITION, 18_746, "LePeilbet", "Jardim Gram", {1}),
    ("minwiki/test.tsv.gz", BY_POSITION, 1075, "The Boolean", "He plays as a", {1}),
    (
        "desse/train.tsv.gz",
        BY_POSITION,
        13_200,
        "Sam is more of a preacher than he seems",
        "I was ignorant to the fact",
        {1},
    ),
    ("desse/validation.tsv.gz", BY_POSITION, 43, "All we learn", "People may", {1}),
    ("desse/test.tsv.gz", BY_POSITION, 790, "Rafis partner", "I could not", {1}),
    (
        "desse/connectives_train.csv.gz",
        {"source": "1+2", "target": "3", "id": "0"},
        31_012,
        "Then Basim showed up on Skype. I could not turn",
        "",
        {1},
    ),
    (
        "desse/connectives_test.csv.gz",
        {"source": "1", "target": "2", "id": "0"},
        5389,
        "I felt pretty sad.",
        "",
        {1},
    ),
    ("discofuse/examples.tsv", FUSION, 4, "Melvyn Douglas", "Four LPr", {1}),
    ("discofuse/felix_pairs.tsv", BY_POSITION, 8, "The Betuliad", "The Rose", {1}),
    (
        "scitldr/train.jsonl.gz",
        {"source": "source", "target": "target", "id": "paper_id"},
        1992,
        "Due to the success of deep learning to solving a variety of challenging",
        "",
        {1},
    ),
    (
        "scitldr/validation.jsonl.gz",
        {"source": "source", "target": "target"},
        619,
        "Mixed precision training (MPT)",
        "We identify some universal patterns",
        {1, 2, 3, 4},
    ),
    (
        "scitldr/test.jsonl.gz",
        {"source": "source", "target": "target"},
        618,
        "",
        "",
        {2, 3, 4},
    ),
    (
        "aeslc/train.jsonl.gz",
        {"source": "document", "target": "summary", "id": "id"},
        14_436,
        "",
        "",
        {1},
    ),
    (
        "aeslc/validation.jsonl.gz",
        {"source": "document", "target": "summary,annotations", "id": "id"},
        1960,
        "",
        "",
        {4},
    ),
    ("sumpubmed/train.jsonl.gz", DOCUMENT, 3300, "rice blast", "this result", {1}),
    ("meqsum/train.jsonl.gz", DOCUMENT, 800, "SUBJECT: who", "Where can I", {1}),
    (
        "dialogsum/validation.jsonl.gz",
        {"source": "dialogue", "target": "summary", "id": "fname"},
        500,
        "#Person1#: Hello, how are you",
        "#Person2# tells #Person1#",
        {1},
    ),
    (
        "dialogsum/test.jsonl.gz",
        {"source": "dialogue", "target": "summary1,summary2,summary3", "id": "fname"},
        500,
        "#Person1#: Ms. Dawson",
        "",
        {3},
    ),
    (
        "xsum_outputs/documents50.jsonl.gz",
        DOCUMENT,
        50,
        "West Berkshire Council",
        "ricky miller scored",
        {1},
    ),
    (
        "xsum_outputs/{outputs.lead,references}.txt.gz",
        {"source": "outputs.lead", "target": "references"},
        11_334,
        "fast forward about 20 years",
        "visitors have flocked to",
        {1},
    ),
    (
        "asset/validation.jsonl.gz",
        {"source": "orig", "target": "refs"},
        2000,
        "Adjacent counties are Marin",
        "Modern African history is common",
        {10},
    ),
    (
        "turkcorpus/tune.jsonl.gz",
        {"source": "orig", "target": "refs"},
        2000,
        "Adjacent counties are Marin",
        "Modern African history is full",
        {8},
    ),
    ("multi30k/train.{en,de}.gz", EN_DE, 29_000, "Two young, W", "Ein Mann in", {1}),
    ("multi30k/validation.{en,de}.gz", EN_DE, 1014, "A group of", "Zwei Frauen", {1}),
    (
        "multi30k/test_201[678]_flickr.{en,de}.gz",
        EN_DE,
        1000 + 1000 + 1071,
        "A man in an orange hat",
        "Eine Frau und ein Mann",
        {1},
    ),
    (
        "multi30k/test_2017_mscoco.{de,en}.gz",
        EN_DE,
        461,
        "I cannot see where",
        "Schwarzwei\u00dffoto",
        {1},
    ),
    ("opennmt_ende/train.{en,de}.gz", EN_DE, 10_000, "It is not", "Wie bei", {1}),
    ("opennmt_ende/validation.{en,de}.gz", EN_DE, 3000, "Parliament", "&quot;", {1}),
    ("opennmt_ende/test.{en,de}.gz", EN_DE, 2737, "Orlando", '" Wir freuen', {1}),
    ("tatoeba/test.{en,de}.gz", EN_DE, 1000, "Mary said", "Kann ich", {1}),
    (
        "wmt21_en_de/{source.en,references.A.de,references.C.de,references.D.de}.gz",
        {
            "source": "source.en",
            "target": "references.A.de,references.C.de,references.D.de",
        },
        1002,
        "Couple MACED",
        "Wiley, bekannt als Godfather",
        {3},
    ),
    (
        "wmt22_en_de/{source.en,references.A.de,references.B.de}.gz",
        {"source": "source.en", "target": "references.A.de,references.B.de"},
        2037,
        "You can come back any time",
        "Sobald wir eine Antwort",
        {2},
    ),
]


@pytest.mark.parametrize(
    ("name", "columns", "rows", "first", "last", "references"),
    FILES,
    ids=[name for name, *_ in FILES],
)
def test_published_files(name, columns, rows, first, last, references, data_dir):
    examples = open_examples(name, columns, data_dir=data_dir)
    assert len(examples) == rows
    assert examples[0].source.startswith(first)
    assert examples[-1].references[-1].startswith(last)
    assert len({row.id for row in examples}) == rows
    assert {len(row.references) for row in examples} == references
    assert examples.skipped.count == 0


def test_lines_of_parallel_files_belong_together(data_dir):
    examples = open_examples("multi30k/validation.{en,de}.gz", EN_DE, data_dir=data_dir)
    names = ("validation.en.gz", "validation.de.gz")
    lines = [
        gzip.decompress((data_dir / "multi30k" / name).read_bytes())
        .decode()
        .split("\n")
        for name in names
    ]
    for number in (0, 500, 1013):
        assert examples[number] == Example(
            f"validation.{{en,de}}.gz:{number + 1}",
            lines[0][number],
            (lines[1][number],),
        )


def test_scitldr_joins_sentences_of_a_source_and_separates_references(data_dir):
    examples = open_examples(
        "scitldr/test.jsonl.gz",
        {"source": "source", "target": "target"},
        data_dir=data_dir,
    )
    counts = {len(row.references) for row in examples}
    assert counts == {2, 3, 4}
    words = [len(row.source.split()) for row in examples]
    assert 150 < sum(words) / len(words) < 170


def test_wikisplit_rows_have_one_separator_in_the_target_only(data_dir):
    examples = open_examples(
        "wikisplit/tune.tsv.gz", {"source": "0", "target": "1"}, data_dir=data_dir
    )
    for row in examples:
        assert row.references[0].count(" <::::> ") == 1
        assert "<::::>" not in row.source


def test_sentences_of_discofuse_are_joined_and_an_empty_one_is_left_out(data_dir):
    fused, _, parted, _ = open_examples(
        "discofuse/examples.tsv",
        {**FUSION, "target": f"{FUSION['target']},connective_string"},
        data_dir=data_dir,
    )
    assert fused.source == (
        "Melvyn Douglas originally was signed to play Sam Bailey . "
        "The role ultimately went to Walter Pidgeon ."
    )
    assert fused.references == (
        "Melvyn Douglas originally was signed to play Sam Bailey , but the role "
        "ultimately went to Walter Pidgeon .",
        ", but",
    )
    assert parted.references[0] == (
        "Rather than returning to England , Ingram stayed in the Gambia and turned to "
        "trade . However , on a visit to England in 1860 , he was declared bankrupt ."
    )


def test_discofuse_is_the_same_from_tfrecords(data_dir, tfrecord_writer, tmp_path):
    """As its authors published it: a feature of one text for each column."""
    table = (data_dir / "discofuse" / "examples.tsv").read_text(encoding="utf-8")
    names, *rows = [line.split("\t") for line in table.removesuffix("\n").split("\n")]
    (tmp_path / "discofuse.tfrecord").write_bytes(
        b"".join(
            tfrecord_writer.frame(
                tfrecord_writer.example(
                    {name: [text] for name, text in zip(names, row, strict=True)}
                )
            )
            for row in rows
        )
    )
    columns = {**FUSION, "id": "discourse_type"}
    examples = open_examples(str(tmp_path / "discofuse.tfrecord"), columns)
    assert list(examples) == list(
        open_examples("discofuse/examples.tsv", columns, data_dir=data_dir)
    )


def test_the_eight_columns_of_discofuse(data_dir):
    examples = open_examples(
        "discofuse/examples.tsv",
        {
            "source": "incoherent_second_sentence",
            "target": "coherent_first_sentence,coherent_second_sentence",
            "id": "discourse_type",
        },
        data_dir=data_dir,
    )
    assert [(row.id, len(row.references)) for row in examples] == [
        ("SINGLE_S_COORD", 1),
        ("SINGLE_RELATIVE", 1),
        ("PAIR_CONN_ANAPHORA", 2),
        ("PAIR_CONN", 2),
    ]
