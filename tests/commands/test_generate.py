"""`bertgen generate`: texts, results, progress and errors."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest

from bertgen_jax.commands import generate, main
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.files import compilation_cache
from bertgen_jax.generation.pipeline import Pipeline, pipeline
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.pretrained import saving
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures.models import pair_config, stack_config

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def directory(tmp_path_factory, draw_params):
    """The directory of a random model."""
    tokenizer = train_sentencepiece(["the boat sank", "nobody was hurt"] * 5, 40)
    pair = pair_config(
        stack_config(vocab_size=tokenizer.vocab_size, max_position_embeddings=64)
    )
    model = EncoderDecoder(pair)
    path = tmp_path_factory.mktemp("model")
    saving.save_pretrained(
        path,
        model,
        draw_params(pair),
        tokenizer,
        GenerationConfig(max_new_tokens=4),
    )
    return path


@pytest.fixture(autouse=True)
def _no_compilation_cache(monkeypatch):
    """Keeps compiled programs from the next test."""
    monkeypatch.setattr(compilation_cache, "enable", lambda: None)


@pytest.fixture
def piped(monkeypatch):
    """Gives standard input a content."""

    def pipe(content):
        stream = io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", stream)

    return pipe


def command(*arguments):
    return [sys.executable, "-m", "bertgen_jax", *map(str, arguments)]


def start(*arguments, **options):
    """Starts the command in another process, as a user does."""
    return subprocess.Popen(command(*arguments), cwd=ROOT, text=True, **options)


def test_each_line_gives_a_line(directory, tmp_path, capsys):
    file = tmp_path / "texts.txt"
    file.write_text("the boat sank\n\nnobody was hurt")
    assert main.main(["generate", str(directory), str(file), "--num-beams=2"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == ""


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input_is_read_without_a_file(directory, piped, capsys, arguments):
    piped(b"the boat sank\n")
    assert (
        main.main(["generate", str(directory), *arguments, "--max-new-tokens=2"]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_empty_input_gives_empty_output(directory, piped, capsys):
    piped(b"")
    assert main.main(["generate", str(directory)]) == 0
    assert capsys.readouterr().out == ""


def test_standard_input_has_a_format_and_a_column(directory, piped, capsys):
    arguments = ["generate", str(directory), "--format=csv", "--column"]
    piped(b"a,b\nthe boat sank,nobody was hurt\n")
    assert main.main([*arguments, "b"]) == 0
    by_name = capsys.readouterr().out
    piped(b"a,b\nthe boat sank,nobody was hurt\n")
    assert main.main([*arguments, "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == by_name.splitlines()


def test_every_setting_has_its_flag(directory, piped, monkeypatch):
    """Flags are named as the settings and pass their values on unchanged."""
    seen = {}

    def each(self, texts, *, batch_size, seeds=None, **settings):
        seen.update(settings, batch_size=batch_size)
        return iter(())

    monkeypatch.setattr(Pipeline, "each", each)
    settings = {
        "max_new_tokens": 6,
        "min_new_tokens": 2,
        "num_beams": 4,
        "num_return_sequences": 2,
        "length_penalty": 0.6,
        "length_penalty_form": "gnmt",
        "early_stopping": "never",
        "num_beam_groups": 2,
        "diversity_penalty": 0.5,
        "no_repeat_ngram_size": 3,
        "repetition_penalty": 1.5,
        "temperature": 0.5,
        "top_k": 7,
        "top_p": 0.5,
        "seed": 9,
    }
    arguments = [
        f"--{name.replace('_', '-')}={value}" for name, value in settings.items()
    ]
    piped(b"")
    assert main.main(["generate", str(directory), "--batch-size=2", *arguments]) == 0
    assert seen == {**settings, "batch_size": 2}
    for argument, name, value in (
        ("--early-stopping=true", "early_stopping", True),
        ("--early-stopping=false", "early_stopping", False),
        ("--do-sample", "do_sample", True),
        ("--no-do-sample", "do_sample", False),
    ):
        seen.clear()
        piped(b"")
        assert main.main(["generate", str(directory), argument]) == 0
        assert seen == {name: value, "batch_size": 16}


def test_several_hypotheses_are_separated_by_tabs(directory, piped, capsys):
    piped(b"the boat sank\nhurt\n")
    arguments = [
        "generate",
        str(directory),
        "--num-beams=3",
        "--num-return-sequences=2",
    ]
    assert main.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [len(line.split("\t")) for line in lines] == [2, 2]


def test_the_dtype_of_the_computation_is_chosen(directory, piped, capsys, monkeypatch):
    made = []
    monkeypatch.setattr(
        generate, "pipeline", lambda *a, **k: made.append(pipeline(*a, **k)) or made[0]
    )
    piped(b"the boat sank\n")
    assert main.main(["generate", str(directory), "--dtype=bfloat16"]) == 0
    assert made[0].generator.model.dtype == jnp.bfloat16
    assert len(capsys.readouterr().out.splitlines()) == 1


# bertgen generate --output


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text(
        '{"id": "a", "source": "the boat sank"}\nnonsense\n{"source": "hurt"}\n'
    )
    return str(path)


def test_jsonl_has_an_object_for_each_text(directory, rows, tmp_path, capsys):
    output = tmp_path / "out.jsonl"
    arguments = ["generate", str(directory), rows, f"--output={output}"]
    assert main.main(arguments) == 0
    first, second, third = map(json.loads, output.read_text().splitlines())
    assert first.keys() == {"line", "id", "generated_text", "score"}
    assert second.keys() == {"line", "error"}
    assert (third["line"], third["score"] < 0) == (3, True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"bertgen: {rows}, line 2: {second['error']}",
        "bertgen: 1 of 3 texts failed",
    ]


def test_the_same_command_continues_where_it_stopped(directory, rows, tmp_path, capsys):
    output = tmp_path / "out.jsonl"
    arguments = ["generate", str(directory), rows, f"--output={output}"]
    assert main.main(arguments) == 0
    wanted = output.read_bytes()
    capsys.readouterr()
    output.write_bytes(wanted[: wanted.index(b"\n") + 20])
    assert main.main(arguments) == 0
    assert output.read_bytes() == wanted
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == (
        f"bertgen: {output} already has 1 result (--overwrite discards them)"
    )
    assert main.main([*arguments, "--num-beams=2"]) == 0
    assert output.read_bytes() == wanted  # nothing is left to do
    assert main.main([*arguments, "--num-beams=2", "--overwrite"]) == 0
    assert output.read_bytes() != wanted
    assert "already" not in capsys.readouterr().err.splitlines()[-1]


def test_only_the_first_failures_are_named(directory, piped, capsys):
    piped(b"\xff\n" * 15 + b"hurt\n")
    assert main.main(["generate", str(directory)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:15] == [""] * 15
    assert len(printed.out.splitlines()[15]) > 0
    *named, more, count = printed.err.splitlines()
    assert len(named) == 10
    assert named[9].startswith("bertgen: standard input, line 10: byte 1 of the row")
    assert more == "bertgen: more texts failed; the total is printed at the end"
    assert count == "bertgen: 15 of 16 texts failed"


def test_a_failed_row_is_named_by_line_and_number(directory, piped, capsys):
    piped(b'text\n"the\nboat"\nthe,boat\n')
    assert main.main(["generate", str(directory), "--format=csv"]) == 0
    assert "bertgen: standard input, line 4 (text 2): columns: 2 found" in (
        capsys.readouterr().err
    )


def test_the_exit_status_is_1_if_all_texts_fail(directory, piped, capsys):
    piped(b"\xff\n\xff\n")
    assert main.main(["generate", str(directory)]) == 1
    assert capsys.readouterr().out == "\n\n"


def test_warnings_of_the_library_are_printed(directory, piped, capsys):
    piped(b"boat " * 100)
    assert main.main(["generate", str(directory)]) == 0
    printed = capsys.readouterr().err
    assert printed.startswith("bertgen: 1 of 1 texts have more than 64 tokens")


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["generate", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: bertgen generate [options] MODEL [FILE]\n")
    assert 'echo "Some text." | bertgen generate runs/papers/model' in printed


def test_a_closed_output_pipe_is_no_error(directory):
    process = subprocess.run(
        f"yes 'the boat sank' | head -200 | {sys.executable} -m bertgen_jax generate "
        f"{directory} | head -1; echo ${{PIPESTATUS[2]}}",
        shell=True,
        executable="/bin/bash",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.splitlines()[-1] == "0"
    assert "BrokenPipe" not in process.stderr


def wait_for_more_in(path):
    """Waits until another process has added something to a file."""
    size = path.stat().st_size if path.exists() else 0
    for _ in range(3_000):
        if path.exists() and path.stat().st_size > size:
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing was added to {path} within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_a_killed_run_continues_with_the_same_results(directory, tmp_path, suffix):
    texts = tmp_path / "texts.txt"
    texts.write_text("the boat sank\nhurt\nnobody was hurt\n\n" * 1_000)
    whole, killed = tmp_path / f"whole{suffix}", tmp_path / f"killed{suffix}"
    arguments = ["generate", directory, texts, "--do-sample", "--max-new-tokens=20"]
    assert start(*arguments, f"--output={whole}").wait() == 0
    for _ in range(3):
        process = start(*arguments, f"--output={killed}")
        wait_for_more_in(killed)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert killed.stat().st_size < whole.stat().st_size
    assert start(*arguments, f"--output={killed}").wait() == 0
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_leaves_complete_lines(directory, tmp_path):
    output = tmp_path / "out.jsonl"
    process = start(
        "generate",
        directory,
        f"--output={output}",
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write("the boat sank\n" * 20)
    process.stdin.flush()  # and more may come
    wait_for_more_in(output)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert printed == (
        "bertgen: interrupted; without --overwrite the same command continues from "
        "here\n"
    )
    lines = output.read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == list(range(1, 17))


@pytest.mark.slow
def test_interactive_input_is_answered_line_by_line(directory):
    keyboard, terminal = os.openpty()
    with start(
        "generate",
        directory,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert (
            process.stderr.readline() == "bertgen: type one text a line; Ctrl-D ends\n"
        )
        for _ in range(2):
            os.write(keyboard, b"the boat sank\n")
            assert process.stdout.readline().strip()
        os.write(keyboard, b"\x04")
        assert process.wait() == 0
    os.close(keyboard)
    os.close(terminal)


@pytest.mark.slow
def test_the_next_process_compiles_nothing(directory, tmp_path):
    """And only the owner can read and write the stored programs."""
    cache = tmp_path / "cache" / "compiled"
    environment = {**os.environ, "BERTGEN_CACHE_DIR": str(tmp_path / "cache")}
    arguments = command("generate", directory, "--num-beams=2")
    outputs, entries = [], []
    for _ in range(2):
        process = subprocess.run(
            arguments,
            input="the boat sank\nhurt\n",
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert process.stderr == ""
        outputs.append(process.stdout)
        entries.append({path.name for path in cache.iterdir()})
    assert outputs[0] == outputs[1]
    assert entries[0] == entries[1] != set()
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere"], "nowhere"),
        (["generate", "MODEL", "no-such-file.txt"], "no-such-file.txt"),
        (["generate", "MODEL", "BINARY"], "UTF-8"),
        (["generate", "MODEL", "--num-beams=0"], "num_beams is 0"),
        (["generate", "MODEL", "--max-new-tokens=65"], "the decoder has 64"),
        (["generate", "MODEL", "--batch-size=0"], "batch_size is 0"),
        (["generate", "MODEL", "--column=text"], "--format"),
        (["generate", "MODEL", "--overwrite"], "without --output"),
        (["generate", "MODEL", "--output=x.csv"], "ends in .jsonl"),
        (
            ["generate", "MODEL", "--output=OUTPUT"],
            "more results (3) than there are texts (1)",
        ),
        (["generate", "MODEL", "--output=OUTPUT", "--top-p=2"], "top_p is 2"),
        (
            ["generate", "MODEL", "--output=OUTPUT", "--overwrite", "--top-p=2"],
            "top_p is 2",
        ),
    ],
)
def test_errors_of_the_user(directory, tmp_path, piped, capsys, arguments, message):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    output = tmp_path / "out.txt"
    output.write_bytes(b"a\nb\nc\nd")
    names = {
        "MODEL": str(directory),
        "BINARY": str(tmp_path / "binary"),
        "--output=OUTPUT": f"--output={output}",
    }
    piped(b"text\n")
    assert main.main([names.get(argument, argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("bertgen: ")
    assert message in printed.err
    assert printed.out == ""
    assert output.read_bytes() == b"a\nb\nc\nd"


def test_an_invalid_value_of_a_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["generate", "MODEL", "--early-stopping=nevr"])
    assert stop.value.code == 2
    assert "'nevr'; expected one of true, false, never. Did you mean 'never'?" in (
        capsys.readouterr().err
    )
