"""Names of data sets: where files are searched, and errors for missing ones."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data import locations


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A data folder that the environment names, and a working directory."""
    data, work = tmp_path / "data", tmp_path / "work"
    for folder in (data / "set", work):
        folder.mkdir(parents=True)
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(data))
    monkeypatch.chdir(work)
    return data, work


def test_a_relative_name_is_looked_up_in_the_data_folder_and_then_here(folders):
    data, work = folders
    (work / "x.tsv").touch()
    assert locations.find("x.tsv") == [work / "x.tsv"]
    (data / "x.tsv").touch()
    assert locations.find("x.tsv") == [data / "x.tsv"]
    assert locations.find("x.tsv", data / "set") == [work / "x.tsv"]
    assert locations.find(str(work / "x.tsv")) == [work / "x.tsv"]


def test_without_a_data_folder_the_working_directory_is_searched(folders, monkeypatch):
    _, work = folders
    monkeypatch.delenv("BERTGEN_DATA_DIR")
    (work / "x.tsv").touch()
    assert locations.find("x.tsv") == [work / "x.tsv"]


def test_a_tilde_is_the_home(folders, monkeypatch):
    data, _ = folders
    monkeypatch.setenv("HOME", str(data))
    (data / "x.tsv").touch()
    assert locations.find("~/x.tsv") == [data / "x.tsv"]


def test_globs_are_sorted_go_deep_and_leave_folders_out(folders):
    data, work = folders
    names = ["b-2.tsv", "b-10.tsv", "a.tsv", "set/c.tsv"]
    for name in names:
        (data / name).touch()
    (data / "folder.tsv").mkdir()
    (work / "z.tsv").touch()
    assert [path.name for path in locations.find("*.tsv")] == [
        "a.tsv",
        "b-10.tsv",
        "b-2.tsv",
    ]
    assert len(locations.find("**/*.tsv")) == 4
    assert locations.find("z*") == [work / "z.tsv"]


def test_a_file_may_have_wildcards_in_its_name(folders):
    data, _ = folders
    (data / "x[1].tsv").touch()
    (data / "x1.tsv").touch()
    assert locations.find("x[1].tsv") == [data / "x[1].tsv"]


def test_a_missing_file_is_an_error_with_places_suggestion_and_alternatives(folders):
    data, work = folders
    (data / "set" / "train.jsonl.gz").touch()
    with pytest.raises(errors.DataError) as caught:
        locations.find("set/trian.jsonl")
    message = str(caught.value)
    assert message.startswith(
        f"There is no file 'set/trian.jsonl': looked for {data}/set/trian.jsonl and "
        f"{work}/set/trian.jsonl. Did you mean 'train.jsonl.gz'? Data can be "
    )
    for way in ("BERTGEN_DATA_DIR", "hf:NAME", "demo:NAME", "':demo'"):
        assert way in message


def test_a_missing_folder_is_an_error_with_a_suggestion(folders):
    with pytest.raises(errors.DataError, match=r"Did you mean 'set'\?"):
        locations.find("sets/train.jsonl")


def test_a_glob_without_files_is_an_error(folders):
    with pytest.raises(errors.DataError, match=r"There is no file '\*\.tsv'"):
        locations.find("*.tsv")


def test_a_folder_is_an_error_that_lists_its_files(folders):
    data, _ = folders
    for number in range(12):
        (data / "set" / f"{number:02}.tsv").touch()
    with pytest.raises(
        errors.DataError,
        match=r"set is a folder.*'set/\*\.jsonl'.*00\.tsv, .*09\.tsv and 2 more\.$",
    ):
        locations.find("set/")


def groups(name, data):
    """The groups of a name with braces: their names and files, within a folder."""
    return [
        (group.name.removeprefix(f"{data}/"), list(group.files), paths(group, data))
        for group in locations.find_groups(name)
    ]


def paths(group, data):
    return [str(path.relative_to(data)) for path in group.files.values()]


def test_braces_name_files_that_belong_together(folders):
    data, work = folders
    for name in ("x.en.gz", "x.de.gz", "set/a", "b", "x{1}.tsv"):
        (data / name).touch()
    assert groups("x.{en,de}.gz", data) == [
        ("x.{en,de}.gz", ["en", "de"], ["x.en.gz", "x.de.gz"])
    ]
    assert groups("{b,set/a}", data) == [("{b,set/a}", ["b", "set/a"], ["b", "set/a"])]
    (work / "x.en").touch()
    (work / "x.de").touch()
    assert groups("x.{de,en}", work) == [("x.{de,en}", ["de", "en"], ["x.de", "x.en"])]
    (data / "[1").mkdir()
    for name in ("[1/y].en", "[1/y].de"):
        (data / name).touch()
    assert groups("[1/*].{en,de}", data)[0][0] == "[1/y].{en,de}"
    assert not locations.has_braces("x{1}.tsv")
    assert locations.find("x{1}.tsv") == [data / "x{1}.tsv"]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("x-*.{en,de}", ["x-10.{en,de}", "x-9.{en,de}", "x-en.{en,de}"]),
        ("x-?.{en,de}", ["x-9.{en,de}"]),
        ("x-[8-9]*{en,de}", ["x-9.{en,de}"]),
        ("**/y.{en,de}", ["set/y.{en,de}", "y.{en,de}"]),
        ("*/{en,de}.txt", ["en/{en,de}.txt"]),
        ("{en,de}/*.te[x]t", ["{en,de}/x.text"]),
    ],
)
def test_a_glob_with_braces_groups_files_by_the_matched_text(name, names, folders):
    data, _ = folders
    for path in (
        *("x-10.en", "x-10.de", "x-9.en", "x-9.de", "x-en.en", "x-en.de"),
        *("y.en", "y.de", "set/y.en", "set/y.de", "en/en.txt", "en/de.txt"),
        *("en/x.text", "de/x.text"),
    ):
        (data / path).parent.mkdir(exist_ok=True)
        (data / path).touch()
    assert [group for group, *_ in groups(name, data)] == names


def test_a_file_without_its_counterpart_is_an_error(folders):
    data, _ = folders
    for name in ("x-1.en", "x-1.de", "x-2.en", "x-2.den"):
        (data / name).touch()
    message = (
        rf"There is {data}/x-2\.en, and no x-2\.de that belongs to it\. Did you mean "
        r"'x-2\.den'\?$"
    )
    for name in ("x-2.{en,de}", "x-2.{de,en}", "x-*.{en,de}"):
        with pytest.raises(errors.DataError, match=message):
            locations.find_groups(name)


def test_missing_files_with_braces_are_an_error(folders):
    data, work = folders
    (data / "train.en").touch()
    with pytest.raises(errors.DataError) as caught:
        locations.find_groups("trian.{en,de}")
    assert str(caught.value).startswith(
        f"There is no file 'trian.{{en,de}}': looked for {data}/trian.{{en,de}} and "
        f"{work}/trian.{{en,de}}. Did you mean 'train.en'? Data can be "
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{a,b}/x.{en,de}", "has 2 pairs of braces; expected one"),
        ("x{,.en}", "hold an empty name; expected the different"),
        ("x.{en,de,en}", "hold 'en' twice; expected the different"),
    ],
)
def test_invalid_braces_are_an_error(name, message, folders):
    with pytest.raises(errors.ConfigError, match=message):
        locations.find_groups(name)
