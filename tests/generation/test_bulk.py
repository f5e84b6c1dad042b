"""Results do not depend on the number of texts or on where a run was interrupted."""

import io
import itertools
import json

import pytest

import bertgen_jax
from bertgen_jax.data import texts as data_texts
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.generation import bulk, result_files
from bertgen_jax.generation.result_files import ResultWriter, as_json
from bertgen_jax.models.create import create_model
from bertgen_jax.pretrained import saving
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures.models import VOCAB_SIZE, pair_config, stack_config

WORDS = ["the", "boat", "sank", "nobody", "was", "hurt", "it", "rained"]
TEXTS = [" ".join(WORDS[i % 8 :: 1 + i % 5] * (1 + i % 3)) for i in range(45)]
UNKNOWN = "€"  # its id has no embedding in the model
BATCH = 4  # so there are windows of 4, 16, 25


@pytest.fixture(scope="module")
def pipe(draw_params, tmp_path_factory):
    tokenizer = train_sentencepiece([*TEXTS, UNKNOWN], VOCAB_SIZE + 1)
    assert max(tokenizer.encode(UNKNOWN)) == VOCAB_SIZE
    assert max(tokenizer.encode(" ".join(WORDS))) < VOCAB_SIZE
    config = pair_config(stack_config(max_position_embeddings=64))
    path = tmp_path_factory.mktemp("model")
    saving.save_pretrained(
        path,
        create_model(config),
        draw_params(config, stddev=0.6),
        tokenizer,
        GenerationConfig(max_new_tokens=5),
    )
    return bertgen_jax.pipeline("text2text-generation", model=path)


def lines(*texts):
    """Reads texts as from a file."""
    return data_texts.stream(io.BytesIO("".join(f"{t}\n" for t in texts).encode()))


def generate(pipe, texts, **options):
    """Returns the results, how many texts failed, and how many there were."""
    stream = io.BytesIO()
    settings = options.pop("settings", {})
    tally = bulk.generate(
        pipe,
        texts,
        ResultWriter(stream, as_json),
        settings,
        batch_size=BATCH,
        **options,
    )
    results = [json.loads(line) for line in stream.getvalue().splitlines()]
    return results, (tally.failed, tally.texts)


def outputs(results):
    return [result.get("generated_text") for result in results]


def test_windows_grow_from_a_batch_to_a_thousand_texts():
    sizes = itertools.islice(bulk.window_sizes(16), 5)
    assert list(sizes) == [16, 64, 256, 1024, 1024]
    assert list(itertools.islice(bulk.window_sizes(2000), 2)) == [2000] * 2


@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "seed": 3}])
def test_windows_give_the_results_of_one_list(pipe, settings):
    results, counts = generate(pipe, lines(*TEXTS), settings=settings)
    expected = outputs(pipe(TEXTS, batch_size=BATCH, **settings))
    assert outputs(results) == expected
    assert len(set(expected)) > 10
    assert counts == (0, 45)
    assert [result["line"] for result in results] == list(range(1, 46))


def test_a_window_is_written_when_it_is_complete(pipe):
    stream, lines_written = io.BytesIO(), []

    def texts():
        for text in lines(*TEXTS):
            lines_written.append(stream.getvalue().count(b"\n"))
            yield text

    writer = ResultWriter(stream, as_json)
    bulk.generate(pipe, texts(), writer, {}, batch_size=BATCH)
    assert lines_written == [0] * 4 + [4] * 16 + [20] * 25


@pytest.mark.parametrize("num_done", [0, 1, 4, 7, 20, 44, 45])
def test_an_interrupted_run_continues_bit_for_bit(pipe, tmp_path, num_done):
    settings = {"num_beams": 2, "do_sample": True}
    texts = [*TEXTS[:8], UNKNOWN, *TEXTS[9:]]
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"

    def run(path):
        new = []
        with result_files.opened(str(path)) as writer:
            tally = bulk.generate(
                pipe,
                lines(*texts),
                writer,
                settings,
                batch_size=BATCH,
                on_result=lambda: new.append(1),
            )
        assert (tally.failed, tally.texts) == (1, 45)
        return len(new)

    assert run(whole) == 45
    content = whole.read_bytes()
    part.write_bytes(b"".join(content.splitlines(keepends=True)[:num_done]) + b'{"li')
    assert run(part) == 45 - num_done
    assert part.read_bytes() == content


def test_a_file_with_more_results_than_texts_is_left_unchanged(pipe, tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a\nb\nc\nd")
    with (
        pytest.raises(
            DataError, match=r"more results \(3\) than .* texts \(2\); .* --overwrite"
        ),
        result_files.opened(str(path)) as writer,
    ):
        bulk.generate(pipe, lines("a", "b"), writer, {})
    assert path.read_bytes() == b"a\nb\nc\nd"


def test_a_text_that_fails_does_not_affect_the_others(pipe):
    content = "\n".join(json.dumps({"text": text, "id": text[:3]}) for text in TEXTS)
    rows = content.split("\n")
    rows[5], rows[30] = "nonsense", json.dumps({"text": [1], "id": "x"})
    rows[6] = rows[31] = json.dumps({"text": f"boat {UNKNOWN}"})
    failures = []
    results, counts = generate(
        pipe,
        data_texts.stream(io.BytesIO("\n".join(rows).encode()), "jsonl"),
        on_failure=lambda text, result: failures.append((text.line, result.error)),
        settings={"do_sample": True},
    )
    assert counts == (4, 45)
    assert [line for line, _ in failures] == [6, 7, 31, 32]
    assert [result.get("error") for result in results if "error" in result] == [
        error for _, error in failures
    ]
    assert "expected one JSON object a line" in failures[0][1]
    message = "it has the token '€' with the id 40; the model has embeddings"
    assert failures[1][1].startswith(message)
    assert results[30]["id"] == "x"
    # The others draw the tokens that they would draw if these had not failed.
    expected = outputs(pipe(TEXTS, batch_size=BATCH, do_sample=True))
    for index in (5, 6, 30, 31):
        expected[index] = None
    assert outputs(results) == expected


def test_an_unknown_id_beyond_the_truncation_of_a_text_does_not_count(pipe):
    long = f"{'boat ' * 100} {UNKNOWN}"
    results, counts = generate(pipe, lines(long, UNKNOWN, "boat"))
    assert counts == (1, 3)
    assert outputs(results)[0] == pipe(long)[0]["generated_text"]
    assert "error" in results[1]


def test_a_file_in_which_all_texts_fail(pipe):
    results, counts = generate(pipe, lines(UNKNOWN, UNKNOWN))
    assert counts == (2, 2)
    assert all("error" in result for result in results)
    assert generate(pipe, lines()) == ([], (0, 0))


def test_results_before_damage_in_the_file_are_written(pipe):
    stream = io.BytesIO()
    rows = data_texts.stream(io.BytesIO(b'text\nboat\nsank\n"never closed\n'), "csv")
    with pytest.raises(DataError, match="a quote is opened"):
        bulk.generate(pipe, rows, ResultWriter(stream), {})
    assert stream.getvalue().count(b"\n") == 2


def test_windows_may_have_one_text_each(pipe):
    results, _ = generate(pipe, lines(*TEXTS[:3]), sizes=itertools.repeat(1))
    assert outputs(results) == outputs(pipe(TEXTS[:3]))


@pytest.mark.parametrize(
    ("batch_size", "settings", "message"),
    [
        (0, {}, "batch_size is 0"),
        (1, {"num_beams": 0}, "num_beams is 0"),
        (
            1,
            {"max_new_tokens": 65},
            "decoder has 64 .* 65 new tokens are asked for",
        ),
        (1, {"bad_words_ids": ((40,),)}, "ids below 40"),
        (1, {"min_length": 9}, "at least 8 new tokens are asked for"),
    ],
)
def test_invalid_settings_are_refused_before_any_text_is_read(
    pipe, batch_size, settings, message
):
    with pytest.raises(ConfigError, match=message):
        bulk.check(pipe, batch_size, settings)


def test_an_error_that_no_text_causes_ends_the_run(pipe, monkeypatch):
    def refuse(*arguments, **settings):
        raise ConfigError("the model is no good")

    monkeypatch.setattr(pipe, "each", refuse)
    stream = io.BytesIO()
    with pytest.raises(ConfigError, match="the model is no good"):
        bulk.generate(pipe, lines("boat"), ResultWriter(stream), {})
    assert stream.getvalue() == b""
