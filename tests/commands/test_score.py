"""`bertgen score`: tables, JSON, columns of files, and errors."""

import json
import pathlib
import subprocess
import sys

import pytest
import sacrebleu

from bertgen_jax.commands import main
from bertgen_jax.data.formats import byte_file

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path):
    """Writes files into a folder: name_suffix="content"."""

    def write(**contents):
        for name, content in contents.items():
            name, _, suffix = name.rpartition("_")
            content = content if isinstance(content, bytes) else content.encode()
            (tmp_path / f"{name}.{suffix}").write_bytes(content)
        return tmp_path

    return write


def score(folder, *arguments):
    """Runs the command; names of files in the folder become paths."""
    names = {path.name for path in folder.iterdir()}
    return main.main(
        [
            "score",
            *(
                str(folder / argument) if argument in names else argument
                for argument in arguments
            ),
        ]
    )


def results(folder, *arguments):
    output = folder / "scores.json"
    assert score(folder, *arguments, "--output", str(output)) == 0
    return json.loads(output.read_text())


def exact(folder, *arguments):
    report = results(folder, *arguments, "--metrics=exact")
    return report["scores"]["exact"]["value"]


def test_lines_are_compared_with_lines(files, capsys):
    folder = files(out_txt="a dog ran\nit rained\n", ref_txt="a dog ran\nit snowed\n")
    report = results(folder, "--predictions", "out.txt", "--references", "ref.txt")
    assert report["examples"] == 2
    assert report["scores"]["rouge1"]["value"] == 75
    printed = capsys.readouterr().out
    assert "│ rouge1    │ 75.00 │" in printed
    assert "rouge1, rouge2, rougeL, rougeLsum: rouge-score" in printed


def test_several_metrics_of_several_references(files):
    folder = files(
        out_txt="the cat sat on the mat\nhello there world now\n",
        a_txt="the cat sat on a mat\nhello world\n",
        b_txt="a cat sat on the mat\nhello there world\n",
    )
    arguments = ("--metrics", "bleu,exact", "--predictions", "out.txt", "--references")
    report = results(folder, *arguments, "a.txt", "b.txt")
    assert list(report["scores"]) == ["bleu", "exact"]
    streams = [
        (folder / name).read_text().split("\n")[:2] for name in ("a.txt", "b.txt")
    ]
    expected = sacrebleu.corpus_bleu(
        (folder / "out.txt").read_text().split("\n")[:2], streams
    )
    assert report["scores"]["bleu"]["value"] == pytest.approx(expected.score, rel=1e-12)
    assert report["scores"]["exact"]["value"] == 0


def test_references_and_sources_may_be_columns_of_the_predictions(files):
    line = {"source": "a b", "references": ["a c", "a d"], "prediction": "a d"}
    folder = files(test_jsonl=json.dumps(line) + "\n")
    report = results(folder, "--predictions", "test.jsonl", "--metrics", "sari,exact")
    assert report["scores"]["exact"]["value"] == 100
    assert report["references"] == [str(folder / "test.jsonl")]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_file_of_several_columns_is_opened_once(files, monkeypatch, suffix):
    row = {"source": "a b", "references": "a c", "prediction": "a d"}
    content = {
        "jsonl": json.dumps(row),
        "json": json.dumps([row]),
        "csv": "\n".join([",".join(row), ",".join(row.values())]),
    }
    folder = files(**{f"test_{suffix}": content[suffix]})
    opened = []
    stream = byte_file.ByteFile.stream
    monkeypatch.setattr(
        byte_file.ByteFile,
        "stream",
        lambda file, *feed: opened.append(file.name) or stream(file, *feed),
    )
    arguments = ("--predictions", f"test.{suffix}", "--metrics=exact,sari")
    results(folder, *arguments)
    assert opened == [str(folder / f"test.{suffix}")]


def test_the_papers_published_predictions_are_an_array(files):
    content = [
        {"target": "a b", "prediction": "a b"},
        {"target": "c", "prediction": ""},
    ]
    folder = files(wikisplit_json=json.dumps(content))
    report = results(folder, "--predictions", "wikisplit.json", "--metrics", "exact")
    assert report["scores"]["exact"]["value"] == 50


def test_rows_of_tsv_may_have_different_numbers_of_references(files):
    folder = files(out_txt="a b\nc d\n", ref_tsv="x\ta b\nc d\t\n")
    arguments = ("--predictions", "out.txt", "--references", "ref.tsv")
    assert exact(folder, *arguments) == 100


def test_columns_have_any_name(files):
    folder = files(out_csv='n,said\n1,"a, b"\n', ref_jsonl='{"gold": ["x", "a, b"]}\n')
    arguments = ("--predictions", "out.csv", "--prediction-column", "said")
    arguments += ("--references", "ref.jsonl", "--reference-column", "gold")
    assert exact(folder, *arguments) == 100


def test_several_columns_are_several_references(files):
    folder = files(out_csv="prediction,one,two\nb,a,b\n")
    arguments = ("--predictions", "out.csv", "--reference-column=one,two")
    assert exact(folder, *arguments) == 100


def test_rouge_has_its_own_settings(files):
    folder = files(
        out_txt="It runs. A dog barked.\n",
        ref_txt="A dog barked. It was running.\n",
        exc_txt="ran|run\n",
    )
    arguments = ("--predictions", "out.txt", "--references", "ref.txt")
    plain = results(folder, *arguments)["scores"]
    other = results(folder, *arguments, "--no-stemming", "--sentence-ends=split")[
        "scores"
    ]
    assert other["rouge1"]["value"] < plain["rouge1"]["value"]
    assert other["rougeLsum"]["value"] > other["rougeL"]["value"]
    assert plain["rougeLsum"]["value"] == plain["rougeL"]["value"]
    old = results(
        folder, *arguments, "--metrics=rouge155", "--wordnet-exceptions", "exc.txt"
    )
    assert "stem:wordnet-porter" in old["scores"]["rouge155_1"]["signature"]


def test_another_system_is_compared_with(files, capsys):
    lines = "".join(f"word {i}\n" for i in range(60))
    folder = files(out_txt=lines, other_txt="nothing\n" * 60, ref_txt=lines)
    arguments = (
        "--predictions",
        "out.txt",
        "--references",
        "ref.txt",
        "--metrics=exact",
    )
    report = results(folder, *arguments, "--compare", "other.txt", "--samples=200")
    (other,) = report["compared_with"].values()
    assert other["exact"]["value"] == 0
    assert other["exact"]["p_value"] == pytest.approx(1 / 201)
    assert report["scores"]["exact"]["signature"].endswith("bootstrap:200|seed:0|n:60")
    assert "│ 0.0050 │" in capsys.readouterr().out


def test_equal_scores_have_no_p_value(files, capsys):
    folder = files(out_txt="a\nb\n", other_txt="a\nb\n", ref_txt="a\nc\n")
    arguments = (
        "--predictions",
        "out.txt",
        "--references",
        "ref.txt",
        "--metrics=exact",
    )
    report = results(folder, *arguments, "--compare", "other.txt")
    (other,) = report["compared_with"].values()
    assert other["exact"] == {"value": 50.0, "p_value": None}
    assert "│ = │" in capsys.readouterr().out


def test_a_baseline_is_made_of_the_sources(files, capsys):
    folder = files(out_txt="a b\n", ref_txt="c d\n", src_txt="c d\n")
    arguments = (
        "--predictions",
        "out.txt",
        "--references",
        "ref.txt",
        "--metrics=exact",
    )
    arguments += ("--baseline=copy",)
    report = results(folder, *arguments, "--sources", "src.txt")
    assert report["scores"]["exact"]["value"] == 0
    assert report["compared_with"]["copy"]["exact"]["value"] == 100
    assert "copy" in capsys.readouterr().out
    assert score(folder, *arguments) == 2
    assert "The baseline copy is made of the sources" in capsys.readouterr().err


def test_texts_are_normalized_as_a_config_says(files):
    folder = files(
        out_txt="it sank .< : : : : > who cared ?\n",
        ref_txt="it sank . <::::> who cared ?\n",
    )
    arguments = (
        "--predictions",
        "out.txt",
        "--references",
        "ref.txt",
        "--metrics=exact",
    )
    assert results(folder, *arguments)["scores"]["exact"]["value"] == 0
    report = results(folder, *arguments, "--normalization=separator")
    assert report["scores"]["exact"]["value"] == 100
    assert "|texts:separator|" in report["scores"]["exact"]["signature"]


def test_each_example_has_its_scores(files):
    folder = files(out_txt="a b\nc\n", ref_txt="a b\nd\n")
    arguments = ("--predictions", "out.txt", "--references", "ref.txt")
    arguments += ("--metrics=exact,rouge", f"--per-example={folder}/each.jsonl")
    scores = results(folder, *arguments)["scores"]
    rows = [
        json.loads(line)
        for line in (folder / "each.jsonl").read_text().split("\n")[:-1]
    ]
    assert [row["exact"] for row in rows] == [100, 0]
    assert list(rows[0]) == list(scores)


def test_long_names_and_markup_are_printed_unchanged(files, capsys):
    folder = files(ref_txt="a\n", **{"x[red]y_txt": "a\n"})
    arguments = ("--references", "ref.txt", "--sources", "ref.txt", "--baseline=copy")
    arguments += ("--metrics=sari-easse-legacy", "--compare", "x[red]y.txt")
    assert score(folder, "--predictions", "x[red]y.txt", *arguments) == 0
    printed = capsys.readouterr().out
    assert "sari-easse-legacy_delete" in printed
    assert printed.count("x[red]y.txt") == 2


@pytest.mark.parametrize("output", ["{folder}", "{folder}/out.txt/x.json"])
def test_an_output_that_cannot_be_written_is_an_error_before_any_work(
    files, capsys, output
):
    folder = files(out_txt="a\n", ref_txt="a\n")
    arguments = ("--predictions", "out.txt", "--references", "ref.txt")
    assert score(folder, *arguments, f"--output={output.format(folder=folder)}") == 2
    printed = capsys.readouterr()
    assert "cannot be written" in printed.err
    assert printed.out == ""


def test_odd_texts_have_scores(files):
    long = "word " * 20_000
    folder = files(out_txt=f"\n\x00\n{long}\n", ref_txt="a\n\n" + "word\n")
    arguments = ("--predictions", "out.txt", "--references", "ref.txt")
    arguments += ("--sources", "ref.txt", "--metrics", "bleu,sari,exact,chrf,novelty")
    for entry in results(folder, *arguments)["scores"].values():
        assert 0 <= entry["low"] <= entry["high"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--references", "two.txt"], "out.txt has 3 rows and"),
        (["--references", "two.txt"], "two.txt 2;"),
        ([], "out.txt has no references"),
        (["--references", "ref.txt", "--metrics=rogue"], "Did you mean 'rouge'?"),
        (["--references", "ref.txt", "--metrics="], "--metrics is empty"),
        (["--references", "ref.txt", "--metrics=sari"], "sources"),
        (["--references", "ref.txt", "--metrics=rouge155"], "irregular forms"),
        (["--references", "bad.txt"], "bad.txt, row 2: byte 2"),
        (["--references", "rfe.txt"], "Did you mean 'ref.txt'?"),
        (["--references", "none.jsonl"], "row 2: there is no reference"),
        (["--references", "ref.txt", "--sources", "two.txt"], "two.txt 2;"),
        (["--references", "ref.txt", "--compare", "two.txt"], "has 2 predictions"),
        (["--references", "ref.txt", "--samples=0"], "needs examples and samples"),
        (["--references", "ref.txt", "--seed=-1"], "the seed is -1"),
        (["--references", "ref.txt", "--wordnet-exceptions=x"], "is for rouge155"),
        (["--references", "ref.txt", "--normalization=quote"], "'quotes'"),
        (["--references", "ref.txt", "--output=ref.txt"], "is an input as well"),
    ],
)
def test_errors_of_the_user(files, capsys, arguments, message):
    folder = files(
        out_txt="a\nb\nc\n",
        ref_txt="a\nb\nc\n",
        two_txt="a\nb\n",
        bad_txt=b"a\nb\xff\nc\n",
        none_jsonl='{"target": "a"}\n{"target": []}\n{"target": "c"}\n',
    )
    arguments = [
        f"{folder}/rfe.txt" if argument == "rfe.txt" else argument
        for argument in arguments
    ]
    arguments = [
        argument.replace("=ref.txt", f"={folder}/ref.txt") for argument in arguments
    ]
    assert score(folder, "--predictions", "out.txt", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("bertgen: ")
    assert message in printed.err
    assert printed.out == ""


def test_a_table_of_predictions_has_one_column(files, capsys):
    folder = files(out_tsv="a\tb\n", ref_txt="a\n")
    arguments = ("--predictions", "out.tsv", "--references", "ref.txt")
    assert score(folder, *arguments) == 2
    assert "found 2 texts, expected one prediction" in capsys.readouterr().err
    report = results(folder, *arguments, "--prediction-column=1", "--metrics=exact")
    assert report["scores"]["exact"]["value"] == 0


def test_scoring_does_not_import_jax(files):
    folder = files(out_txt="a\n", ref_txt="a\n")
    code = (
        "import sys; sys.modules['jax'] = sys.modules['flax'] = None\n"
        "from bertgen_jax.commands import main\n"
        "sys.exit(main.main(sys.argv[1:]))"
    )
    arguments = ("--metrics=rouge,bleu,exact", "--references", folder / "ref.txt")
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "score",
            *arguments,
            "--predictions",
            folder / "out.txt",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "exact" in process.stdout


def test_the_help_lists_the_metrics(capsys):
    with pytest.raises(SystemExit):
        main.main(["score", "--help"])
    printed = capsys.readouterr().out
    assert "sari-easse" in printed
    assert "TF Models" in printed
