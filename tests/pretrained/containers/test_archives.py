"""Archives are unpacked into a temporary directory, and hostile ones are refused."""

import gzip
import io
import os
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile

import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import archives
from tests.fixtures import zip_directory

FILES = {
    "config.json": b"{}",
    "empty": b"",
    "variables/variables.index": b"index",
    "variables/deep/data": bytes(range(256)) * 1000,
}


def write_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.mkdir("variables")
        for name, content in files.items():
            archive.writestr(name, content)


def write_stored_zip(path, files):
    write_zip(path, files, zipfile.ZIP_STORED)


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def write_tar(path, files, format=tarfile.PAX_FORMAT):
    mode = "w" if path.suffix == ".tar" else "w:gz"
    with tarfile.open(path, mode, format=format) as archive:
        archive.addfile(member("./", type=tarfile.DIRTYPE))
        archive.addfile(member("./variables", type=tarfile.DIRTYPE))
        for name, content in files.items():
            archive.addfile(member(f"./{name}", content), io.BytesIO(content))


def write_gnu_tar(path, files):
    write_tar(path, files, tarfile.GNU_FORMAT)


WRITERS = {
    "deflated.zip": write_zip,
    "stored.ZIP": write_stored_zip,
    "pax.tar": write_tar,
    "gnu.tar": write_gnu_tar,
    "pax.tar.gz": write_tar,
    "gnu.tgz": write_gnu_tar,
}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where archives are unpacked; each test ends with nothing in there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is looked up once
    yield folder
    assert list(folder.iterdir()) == []


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("name", WRITERS)
def test_files_are_unpacked_and_removed(name, tmp_path, temporary):
    path = tmp_path / name
    WRITERS[name](path, FILES)
    assert archives.is_archive(path)
    with archives.unpacked(path) as folder:
        assert folder.parent == temporary
        assert contents(folder) == FILES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("name", WRITERS)
def test_long_names_are_unpacked(name, tmp_path):
    path = tmp_path / name
    files = {f"{'a' * 120}/{'b' * 120}/{i}": b"x" for i in range(2)}
    WRITERS[name](path, files)
    with archives.unpacked(path) as folder:
        assert contents(folder) == files


@pytest.mark.parametrize("name", WRITERS)
def test_two_archives_are_unpacked_apart(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path, FILES)
    with archives.unpacked(path) as one, archives.unpacked(path) as other:
        assert one != other
        assert contents(one) == contents(other)


def test_an_error_inside_of_the_context_is_passed_on(tmp_path):
    path = tmp_path / "x.zip"
    write_zip(path, FILES)
    with pytest.raises(OSError, match="mine"), archives.unpacked(path):
        raise OSError("mine")


def test_archives_are_recognised_by_name(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    for name in ("model.bin", "model.pt", "x.gz", "zip"):
        (tmp_path / name).touch()
    for name in (*os.listdir(tmp_path), "missing.zip"):
        assert not archives.is_archive(tmp_path / name)


def test_unpacked_files_have_plain_permissions(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(member("setuid", mode=0o6777, uid=0, uname="root"))
        archive.addfile(member("hidden", mode=0o000))
        archive.addfile(member("folder", mode=0o000, type=tarfile.DIRTYPE))
        archive.addfile(member("folder/x", mode=0o000))
    with archives.unpacked(path) as folder:
        for file in folder.rglob("*"):
            plain = 0o777 if file.is_dir() else 0o666
            assert stat.S_IMODE(file.stat().st_mode) == plain & ~umask()


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


NAMES = [
    ".",
    "../x",
    "a/../../x",
    "a/..",
    "..",
    "/etc/x",
    "//x",
    "a\\b",
    "..\\x",
    "C:x",
    "C:\\x",
    "new\nline",
    "\x1b[2J",
    "a/" * 25 + "x",
    "x" * 300,
    "x/" + "y" * 5000,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["x.zip", "x.tar", "x.tgz"])
def test_names_that_lead_outside_are_refused(kind, name, tmp_path):
    path = tmp_path / kind
    if kind == "x.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
    else:
        with tarfile.open(path, "w:gz" if kind == "x.tgz" else "w") as archive:
            archive.addfile(member(name, b"x"), io.BytesIO(b"x"))
    with pytest.raises(CheckpointError) as caught, archives.unpacked(path):
        pass
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()


def test_a_zip_member_without_a_name_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    write_stored_zip(path, {"Y": b""})
    path.write_bytes(path.read_bytes().replace(b"Y", b"\0"))
    with pytest.raises(CheckpointError), archives.unpacked(path):
        pass


@pytest.mark.parametrize("kind", ["x.tar", "x.tgz"])
@pytest.mark.parametrize(
    ("type", "message"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
        (tarfile.CONTTYPE, "a device"),
        (tarfile.GNUTYPE_SPARSE, "or sparse"),
        (b"V", "a device"),
    ],
)
def test_tar_members_that_are_not_files_are_refused(type, message, kind, tmp_path):
    path = tmp_path / kind
    with tarfile.open(path, "w:gz" if kind == "x.tgz" else "w") as archive:
        archive.addfile(member("x", type=type, linkname="../../etc/passwd"))
        archive.addfile(member("x/y", b"z"), io.BytesIO(b"z"))
    with (
        pytest.raises(CheckpointError, match=f"{kind}: the member 'x' .*{message}"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_members_that_are_not_files_are_refused(kind, tmp_path):
    path = tmp_path / "x.zip"
    info = zipfile.ZipInfo("x")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with (
        pytest.raises(CheckpointError, match="'x' is a link or a device"),
        archives.unpacked(path),
    ):
        pass


def test_encrypted_members_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    write_stored_zip(path, FILES)
    zip_directory.change(path, b"variables/deep/data", flags=1)
    with (
        pytest.raises(CheckpointError, match="'variables/deep/data' is encrypted"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, "not a whole archive .zip file version 9.9"),
        ({"flags": 0x800, "name": b"\xff"}, "not a whole archive .*utf-8"),
        ({"header": 2**30}, "not a whole archive"),  # behind the end
        ({"size": 10_001}, "has 10,000 bytes, not 10,001"),
    ],
)
def test_wrong_zip_directories_are_refused(changes, message, tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(10_000))
    zip_directory.change(path, b"x", **changes)
    with pytest.raises(CheckpointError, match=message), archives.unpacked(path):
        pass


def test_a_zip_member_after_2_to_the_63_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        # Read instead of a header of 2**32 - 1.
        info.extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)
        archive.writestr(info, b"")
    zip_directory.change(path, b"x", header=2**32 - 1)
    with (
        pytest.raises(CheckpointError, match="not a whole archive"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_damaged_bytes_are_errors(name, tmp_path):
    path = tmp_path / name
    if name == "x.zip":
        write_stored_zip(path, {"x": b"abcdef"})
        path.write_bytes(path.read_bytes().replace(b"abcdef", b"abcdeg"))
    else:
        write_gnu_tar(tmp_path / "x.tar", {"x": b"abcdef"})
        content = bytearray(gzip.compress((tmp_path / "x.tar").read_bytes()))
        content[-8] ^= 1  # of the checksum
        path.write_bytes(content)
    with (
        pytest.raises(CheckpointError, match=r"not a whole archive .*CRC"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_damaged_compressed_bytes_are_errors(name, tmp_path):
    path = tmp_path / name
    if name == "x.zip":
        write_zip(path, {"x": b"abc" * 99})
        content = bytearray(path.read_bytes())
        start = content.rindex(b"PK\3\4") + 31
    else:
        write_gnu_tar(tmp_path / "x.tar", {"x": b"abc" * 99})
        content = bytearray(gzip.compress((tmp_path / "x.tar").read_bytes()))
        start = 10
    content[start] |= 0b111  # a kind of block that there is not
    path.write_bytes(content)
    with (
        pytest.raises(CheckpointError, match="not a whole archive"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compressions_are_refused(compression, tmp_path):
    """LZMA takes the memory that the file says."""
    path = tmp_path / "x.zip"
    write_zip(path, FILES, compression)
    with (
        pytest.raises(CheckpointError, match="compressed in a rare way"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("again", ["x", "./x", ".//x"])
@pytest.mark.parametrize("kind", ["x.zip", "x.tar"])
def test_two_members_of_one_name_are_refused(kind, again, tmp_path):
    path = tmp_path / kind
    if kind == "x.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", b"1")
            archive.writestr("Y", b"2")
        # zipfile warns of duplicates, and takes "./x" for another name.
        content = path.read_bytes().replace(b"Y", b"x")
        path.write_bytes(content)
        if again != "x":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x", b"1")
                archive.writestr(again, b"2")
    else:
        with tarfile.open(path, "w") as archive:
            archive.addfile(member("x"))
            archive.addfile(member(again))
    with (
        pytest.raises(CheckpointError, match="has the name of another member"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("kind", ["x.zip", "x.tar"])
def test_a_file_that_is_also_a_directory_is_refused(kind, tmp_path):
    path = tmp_path / kind
    WRITERS["stored.ZIP" if kind == "x.zip" else "pax.tar"](
        path, {"x": b"1", "x/y": b"2"}
    )
    with pytest.raises(CheckpointError, match=kind), archives.unpacked(path):
        pass


@pytest.mark.parametrize("kind", ["x.zip", "x.tar"])
def test_too_many_members_are_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 5)
    path = tmp_path / kind
    writer = WRITERS["stored.ZIP" if kind == "x.zip" else "pax.tar"]
    writer(path, {str(i): b"" for i in range(3)})
    with archives.unpacked(path) as folder:
        assert len(contents(folder)) == 3
    writer(path, {str(i): b"" for i in range(5)})
    with (
        pytest.raises(CheckpointError, match="comes after 5 other members"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("name", ["deflated.zip", "gnu.tgz"])
def test_bombs_are_refused_before_they_are_written(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path, {"zeros": bytes(1 << 20)})
    with archives.unpacked(path) as folder:  # harmless
        assert len(contents(folder)["zeros"]) == 1 << 20
    monkeypatch.setattr(archives, "_HARMLESS_BYTES", 1 << 16)
    monkeypatch.setattr(archives, "_CHUNK_BYTES", None)  # nothing can be written
    with (
        pytest.raises(CheckpointError, match="100 times the size of the archive"),
        archives.unpacked(path),
    ):
        pass


def test_bytes_after_a_tar_count_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_HARMLESS_BYTES", 1 << 16)
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(bytes(1 << 22)))
    with (
        pytest.raises(CheckpointError, match="100 times the size of the archive"),
        archives.unpacked(path),
    ):
        pass


def test_more_than_the_free_disk_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    write_zip(path, FILES)
    usage = archives.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage)
    with (
        pytest.raises(CheckpointError, match=r"free space of .* TMPDIR"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("size", [1 << 14, -512])
@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_long_headers_are_errors(type, size, tmp_path):
    path = tmp_path / "x.tar"
    header = member("x", type=type, size=size).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(header + bytes(1 << 16))
    with (
        pytest.raises(CheckpointError, match=f"a header of {size:,} bytes"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_long_headers_take_no_memory(type, tmp_path):
    """A gzip file of 64 kB; tarfile alone would read the 64 MB that it says."""
    path = tmp_path / "x.tgz"
    size = 64 << 20
    with gzip.open(path, "wb") as file:
        file.write(member("x", type=type, size=size).tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with (
            pytest.raises(CheckpointError, match="a header of 67,108,864 bytes"),
            archives.unpacked(path),
        ):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_sparse_files_of_pax_are_refused(tmp_path):
    path = tmp_path / "x.tar"
    headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1000000"}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member("x", pax_headers=headers))
    with (
        pytest.raises(CheckpointError, match="'x' is a link, a device or sparse"),
        archives.unpacked(path),
    ):
        pass


def test_headers_of_many_members_take_no_memory(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for i in range(300):
            archive.addfile(member(str(i), pax_headers={"comment": "x " * 3000}))
    tracemalloc.start()
    try:
        with archives.unpacked(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_the_size_of_headers_is_bounded(tmp_path, monkeypatch):
    """What takes the square of their length takes no minutes."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for i in range(2):
            archive.addfile(member(str(i), pax_headers={"comment": "1" * 7000}))
    with archives.unpacked(path) as folder:
        assert len(contents(folder)) == 2
    monkeypatch.setattr(archives, "_MAX_HEADERS_BYTES", 16_000)
    with pytest.raises(CheckpointError, match="too many"), archives.unpacked(path):
        pass


def test_a_chain_of_headers_is_read_without_recursion(tmp_path):
    path = tmp_path / "x.tgz"
    header = member("x", type=tarfile.GNUTYPE_LONGNAME, size=2).tobuf(
        tarfile.GNU_FORMAT
    )
    path.write_bytes(gzip.compress((header + b"y".ljust(512, b"\0")) * 5000))
    with pytest.raises(CheckpointError, match="not a whole"), archives.unpacked(path):
        pass


def test_headers_with_numbers_beyond_64_bits_are_errors(tmp_path):
    path = tmp_path / "x.tar"
    record = b"9" * 20 + b" path=y\n"
    header = member("x", type=tarfile.XHDTYPE, size=len(record))
    path.write_bytes(
        header.tobuf(tarfile.GNU_FORMAT) + record.ljust(512, b"\0") + bytes(1024)
    )
    with pytest.raises(CheckpointError, match="not a whole"), archives.unpacked(path):
        pass


def test_negative_sizes_are_refused(tmp_path):
    path = tmp_path / "x.tar"
    header = member("x", size=-512).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(header + bytes(10240))
    with (
        pytest.raises(CheckpointError, match="has 0 bytes, not -512"),
        archives.unpacked(path),
    ):
        pass


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bits_of_headers_are_errors(name, tmp_path):
    """tarfile takes a damaged header for the end of the archive."""
    path = tmp_path / name
    files = {"first": b"1" * 700, "second": b"2" * 700}
    WRITERS[name](path, files)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"second") if b"second" in content else -100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError), archives.unpacked(path):
        pass
