"""The index of a table is cached, verified, and built again when it is damaged."""

import json
import shutil

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.data import record_index
from bertgen_jax.data.columns import Columns
from bertgen_jax.data.formats import byte_file, json_lines
from bertgen_jax.files import paths

COLUMNS = Columns("s", ("t",))


class Counted(json_lines.JsonLines):
    """JSON lines that count how often they are scanned."""

    scans = 0

    def scan(self, feed):
        self.scans += 1
        return super().scan(feed)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = ['{"s": "a", "t": "b"}\n', '{"s": "é", "t": "d"}\n', "[]\n"]
    path.write_text("".join([*lines, lines[0]]))
    return path


def build(path, columns=COLUMNS, on_bad_row="skip"):
    """The index, and whether the file was read for it."""
    table = Counted(byte_file.ByteFile(path, path.name))
    return record_index.build(table, columns, on_bad_row), table.scans == 1


def entry():
    (folder,) = paths.cache_dir().glob("indexes/*")
    return folder


def test_rows_have_address_number_and_id(path):
    index, _ = build(path)
    assert index.rows.dtype == np.int64
    assert index.rows[:, :3].tolist() == [[0, 21, 1], [21, 43, 2], [46, 67, 4]]
    by_text, _ = build(path, Columns("t", ("s",), "t"))
    identical = by_text.rows[:, 3]
    assert identical[0] == identical[2] != identical[1]


def test_the_second_time_it_comes_from_the_cache(path):
    first, read = build(path)
    assert read
    again, read = build(path)
    assert not read
    np.testing.assert_array_equal(again.rows, first.rows)
    assert again.content_digest == first.content_digest
    assert again.skipped == first.skipped
    assert again.skipped == record_index.Skipped(
        1,
        {"no JSON object": 1},
        (
            "x.jsonl, line 3: found '[]\\n'; expected one JSON object a line "
            "(`jq -c '.[]'` makes lines of an array).",
        ),
    )


def test_columns_and_on_bad_row_are_part_of_the_key(path):
    build(path)
    assert build(path, Columns("t", ("s",)))[1]
    with pytest.raises(errors.DataError, match="line 3: found"):
        build(path, on_bad_row="raise")
    assert not build(path)[1]


def test_a_changed_file_is_indexed_again(path):
    first, _ = build(path)
    path.write_text('{"s": "a", "t": "b"}\n' * 2)
    second, read = build(path)
    assert read
    assert len(second.rows) == 2
    assert second.content_digest != first.content_digest


def test_a_file_that_is_only_touched_is_read_again_and_has_the_same_digest(path):
    first, _ = build(path)
    path.write_text(path.read_text())
    second, _ = build(path)
    assert second.content_digest == first.content_digest


def cut_rows(folder):
    file = folder / "rows.npy"
    file.write_bytes(file.read_bytes()[:-8])


def flip_a_row(folder):
    file = folder / "rows.npy"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)


def drop_a_row(folder):
    np.save(folder / "rows.npy", np.load(folder / "rows.npy")[:-1])


def other_dtype(folder):
    np.save(folder / "rows.npy", np.load(folder / "rows.npy").astype(np.int32))


def objects(folder):
    np.save(folder / "rows.npy", np.array([{}]), allow_pickle=True)


def empty_rows(folder):
    (folder / "rows.npy").write_bytes(b"")


def no_rows(folder):
    (folder / "rows.npy").unlink()


def cut_report(folder):
    (folder / "report.json").write_text('{"checksum": ')


def list_report(folder):
    (folder / "report.json").write_text("[]")


def other_report(folder):
    saved = json.loads((folder / "report.json").read_text())
    saved["report"]["content_digest"] = "0" * 32
    (folder / "report.json").write_text(json.dumps(saved))


def no_report(folder):
    (folder / "report.json").unlink()


def not_a_folder(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = [
    cut_rows,
    flip_a_row,
    drop_a_row,
    other_dtype,
    objects,
    empty_rows,
    no_rows,
    cut_report,
    list_report,
    other_report,
    no_report,
    not_a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_entry_is_made_again(damage, path, caplog):
    first, _ = build(path)
    rows = np.array(first.rows)  # a copy, because they are mapped from the entry
    damage(entry())
    again, read = build(path)
    assert read
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(again.rows, rows)
    assert again.content_digest == first.content_digest
    assert not build(path)[1]


def test_a_bad_row_leaves_no_entry(path):
    with pytest.raises(errors.DataError, match="line 3"):
        build(path, on_bad_row="raise")
    assert not list(paths.cache_dir().glob("indexes/*"))


def test_a_file_that_changes_during_the_pass_is_an_error(path):
    class Growing(json_lines.JsonLines):
        def scan(self, feed):
            with path.open("a") as file:
                file.write("[]\n")
            return super().scan(feed)

    growing = Growing(byte_file.ByteFile(path, path.name))
    with pytest.raises(errors.DataError, match=r"x\.jsonl was changed while it was in"):
        record_index.build(growing, COLUMNS, "skip")
    assert not list(paths.cache_dir().glob("indexes/*"))
