"""The readers on published files, against the counts and rows of their description."""

import pytest

from bertgen_jax.data import readers

# name, columns, rows, and the beginnings of the first source and of its references
FILES = [
    (
        "scitldr/train.jsonl.gz",
        {"source": "source", "target": "target", "id": "paper_id"},
        1992,
        "Due to the success of deep learning to solving a variety of challenging",
        1,
    ),
    ("scitldr/test.jsonl.gz", {"source": "source", "target": "target"}, 618, "", None),
    (
        "aeslc/train.jsonl.gz",
        {"source": "document", "target": "summary", "id": "id"},
        14_436,
        "",
        1,
    ),
    (
        "dialogsum/test.jsonl.gz",
        {"source": "dialogue", "target": "summary1,summary2,summary3", "id": "fname"},
        500,
        "#Person1#: Ms. Dawson",
        3,
    ),
    (
        "wikisplit/tune.tsv.gz",
        {"source": "0", "target": "1"},
        5000,
        "' ( 1990 ) was the second sequel to appear",
        1,
    ),
    (
        "desse/train.tsv.gz",
        {"source": "0", "target": "1"},
        13_200,
        "Sam is more of a preacher than he seems",
        1,
    ),
    (
        "desse/connectives_test.csv.gz",
        {"source": "1", "target": "2", "id": "0"},
        5389,
        "I felt pretty sad.",
        1,
    ),
    (
        "discofuse/examples.tsv",
        {"source": "incoherent_first_sentence", "target": "coherent_first_sentence"},
        4,
        "Melvyn Douglas originally was signed to play Sam Bailey .",
        1,
    ),
    ("discofuse/felix_pairs.tsv", {"source": "0", "target": "1"}, 8, "", 1),
]


@pytest.mark.parametrize(
    ("name", "columns", "rows", "beginning", "references"),
    FILES,
    ids=[name for name, *_ in FILES],
)
def test_published_files(name, columns, rows, beginning, references, data_dir):
    examples = readers.open_examples(name, columns, data_dir=data_dir)
    assert len(examples) == rows
    assert examples[0].source.startswith(beginning)
    found = list(examples)
    assert len({one.id for one in found}) == rows
    if references is not None:
        assert {len(one.references) for one in found} == {references}
    assert examples.skipped.count == 0


def test_scitldr_has_its_sentences_joined_and_its_targets_apart(data_dir):
    examples = readers.open_examples(
        "scitldr/test.jsonl.gz",
        {"source": "source", "target": "target"},
        data_dir=data_dir,
    )
    counts = {len(one.references) for one in examples}
    assert counts == {2, 3, 4}
    words = [len(one.source.split()) for one in examples]
    assert 150 < sum(words) / len(words) < 170


def test_wikisplit_rows_have_one_separator_in_the_target_only(data_dir):
    examples = readers.open_examples(
        "wikisplit/tune.tsv.gz", {"source": "0", "target": "1"}, data_dir=data_dir
    )
    for one in examples:
        assert one.references[0].count(" <::::> ") == 1
        assert "<::::>" not in one.source


def test_the_eight_columns_of_discofuse(data_dir):
    examples = readers.open_examples(
        "discofuse/examples.tsv",
        {
            "source": "incoherent_second_sentence",
            "target": "coherent_first_sentence,coherent_second_sentence",
            "id": "discourse_type",
        },
        data_dir=data_dir,
    )
    assert [(one.id, len(one.references)) for one in examples] == [
        ("SINGLE_S_COORD", 1),
        ("SINGLE_RELATIVE", 1),
        ("PAIR_CONN_ANAPHORA", 2),
        ("PAIR_CONN", 2),
    ]
