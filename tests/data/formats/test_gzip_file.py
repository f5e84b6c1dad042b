"""Compressed files: verified once, kept, and made again when damaged."""

import gzip

import pytest

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file, gzip_file
from bertgen_jax.files import paths

CONTENT = b"".join(b"line %d\n" % i for i in range(1000))


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "x.tsv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


def decompressed(path):
    return gzip_file.decompressed(byte_file.ByteFile(path, path.name))


def test_the_content_is_kept_in_the_cache(packed):
    first = decompressed(packed)
    assert first.path.read_bytes() == CONTENT
    assert first.path.is_relative_to(paths.cache_dir())
    assert first.name == "x.tsv.gz"
    before = first.path.stat()
    again = decompressed(packed)
    assert again.path == first.path
    assert again.path.stat().st_mtime_ns == before.st_mtime_ns
    assert again.path.stat().st_ino == before.st_ino


def test_members_are_joined(packed):
    packed.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert decompressed(packed).path.read_bytes() == b"a\nb\n"


def test_a_changed_file_is_decompressed_again(packed):
    first = decompressed(packed)
    packed.write_bytes(gzip.compress(CONTENT[:-1]))
    second = decompressed(packed)
    assert second.path != first.path
    assert second.path.read_bytes() == CONTENT[:-1]


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed", "renamed"])
def test_a_damaged_entry_is_made_again(damage, packed, caplog):
    first = decompressed(packed)
    if damage == "cut":
        first.path.write_bytes(CONTENT[:100])
    elif damage == "emptied":
        first.path.write_bytes(b"")
    elif damage == "removed":
        first.path.unlink()
    else:
        first.path.rename(first.path.with_name("part"))
    again = decompressed(packed)
    assert again.path.read_bytes() == CONTENT
    assert "is damaged: made again" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:3],
        lambda content: content[:100] + b"\0" + content[101:],
        lambda content: content[:-8] + bytes(4) + content[-4:],
        lambda content: content[:-4] + bytes(4),
        lambda content: b"plain text",
        lambda content: content + b"plain text",
    ],
    ids=["last byte", "half", "head", "middle", "checksum", "length", "text", "tail"],
)
def test_a_damaged_gzip_file_is_an_error_and_leaves_no_entry(damage, packed):
    packed.write_bytes(damage(gzip.compress(CONTENT)))
    with pytest.raises(errors.DataError, match=r"^x\.tsv\.gz cannot be decompressed: "):
        decompressed(packed)
    assert not list(paths.cache_dir().glob("decompressed/*"))


def test_a_cache_that_cannot_be_written_is_an_error(packed, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(packed))
    with pytest.raises(errors.DataError, match=r"cannot be written.*BERTGEN_CACHE_DIR"):
        decompressed(packed)


def test_an_entry_that_another_process_finishes_first_is_used(packed, monkeypatch):
    slow = gzip_file._decompress

    def overtaken(compressed, folder):
        slow(compressed, folder)
        monkeypatch.setattr(gzip_file, "_decompress", slow)
        nonlocal other
        other = decompressed(packed)

    other = None
    monkeypatch.setattr(gzip_file, "_decompress", overtaken)
    mine = decompressed(packed)
    assert mine.path == other.path
    assert mine.identity == other.identity
    assert [entry.name for entry in mine.path.parent.parent.iterdir()] == [
        mine.path.parent.name
    ]
