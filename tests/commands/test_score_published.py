"""`bertgen score` gives the published scores of published outputs."""

import gzip
import json

import pytest

from bertgen_jax.commands import main

pytestmark = pytest.mark.slow

WMT17 = (
    "LIUM",
    "FBK",
    "KIT",
    "LMU-reranked",
    "online-B",
    "online-G",
    "SYSTRAN",
    "uedin",
)
WMT22 = ("JDExploreAcademy", "Online-A", "Online-G", "Online-W", "Online-Y", "PROMT")


@pytest.fixture
def scored(tmp_path):
    """Runs the command; the values by name."""

    def score(*arguments):
        output = tmp_path / "scores.json"
        arguments = [
            "score",
            *map(str, arguments),
            "--samples=10",
            f"--output={output}",
        ]
        assert main.main(arguments) == 0
        scores = json.loads(output.read_text())["scores"]
        return {name: score["value"] for name, score in scores.items()}

    return score


@pytest.mark.parametrize("system", ["tconvs2s", "ptgen", "lead"])
def test_xsum(data_dir, scored, system):
    folder = data_dir / "xsum_outputs"
    scores = scored(
        f"--predictions={folder}/outputs.{system}.txt.gz",
        f"--references={folder}/references.txt.gz",
        "--metrics=rouge155,rouge",
        f"--wordnet-exceptions={data_dir}/rouge_golden/wordnet_exceptions.txt.gz",
    )
    golden = json.loads((folder / "golden.json").read_text())[system]
    published = golden["published_rouge_1.5.5"]["f-score"]
    for number in ("1", "2", "L"):
        name = f"rouge{number}"
        assert scores[f"rouge155_{number}"] == pytest.approx(published[name], abs=0.01)
        assert scores[name] == pytest.approx(published[name], abs=0.5)


@pytest.mark.parametrize("system", WMT17)
def test_wmt17(data_dir, scored, system):
    folder = data_dir / "wmt17_en_de"
    golden = json.loads((folder / "golden.json").read_text())[system]
    scores = scored(
        f"--predictions={folder}/outputs.{system}.de.gz",
        f"--references={folder}/references.de.gz",
        "--metrics=bleu",
    )
    published = golden["published_mteval_v13a"]
    assert scores["bleu"] == pytest.approx(published, abs=0.005 + 1e-9)


@pytest.mark.parametrize("system", WMT22)
def test_wmt22_with_two_references(data_dir, scored, system):
    folder = data_dir / "wmt22_en_de"
    golden = json.loads((folder / "golden.json").read_text())["scores"][system]["all"]
    scores = scored(
        f"--predictions={folder}/outputs.{system}.de.gz",
        "--metrics=bleu,chrf",
        "--references",
        folder / "references.A.de.gz",
        folder / "references.B.de.gz",
    )
    assert scores["bleu"] == pytest.approx(golden["bleu_13a"], abs=1e-6)
    assert scores["chrf"] == pytest.approx(golden["chrf2"], abs=1e-4)


@pytest.mark.parametrize("system", ["ACCESS", "Dress-Ls", "PBMT-R"])
def test_asset(data_dir, scored, system, tmp_path):
    folder = data_dir / "asset"
    golden = json.loads((folder / "golden.json").read_text())
    name = next(key for key in golden if key.startswith("published"))
    bleu, sari = golden[name][system]
    with gzip.open(folder / "test.outputs.jsonl.gz", "rt", encoding="utf-8") as lines:
        outputs = {row["system"]: row["outputs"] for row in map(json.loads, lines)}
    predictions = tmp_path / "outputs.json"
    predictions.write_text(json.dumps(outputs[system]))
    scores = scored(
        f"--predictions={predictions}",
        f"--references={folder}/test.jsonl.gz",
        "--reference-column=refs",
        f"--sources={folder}/test.jsonl.gz",
        "--source-column=orig",
        "--metrics=sari-easse,bleu-lc",
    )
    assert scores["sari-easse"] == pytest.approx(
        sari, abs=0.006
    )  # 34.635 is printed 34.63
    assert scores["bleu-lc"] == pytest.approx(bleu, abs=0.005 + 1e-9)
