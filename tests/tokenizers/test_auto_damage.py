"""Fuzz tests: a damaged file of a tokenizer is an error of ours, or harmless."""

import copy
import json
import random

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.auto import AutoTokenizer

LAYOUTS = ("bert", "roberta", "gpt2", "fairseq", "sentencepiece")


WRONG = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**80, 0.5, float("nan"), float("inf")),
    *("", "x", "\ud800", "a b", "the", "[UNK]", "[X]", "\x01", "İ", "ByteLevel"),
    *([], {}, [1], ["x"], [["x", 1]], {"content": "q"}, {"a": 0}, {"type": "BPE"}),
)


def mutated(value, draw):
    """Returns a JSON value with one change at some depth."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.15:
        return draw.choice(WRONG)
    value = copy.copy(value)
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    choice = draw.random()
    if choice < 0.1:
        del value[key]
    elif choice < 0.2 and isinstance(value, dict):
        value[str(draw.choice(WRONG))] = value[key]
    elif choice < 0.2:
        value.append(value[key])
    else:
        value[key] = mutated(value[key], draw)
    return value


def damage(file, draw):
    """Changes the bytes of a file, or the values of a JSON file."""
    content = file.read_bytes()
    if file.suffix == ".json" and draw.random() < 0.7:
        file.write_text(json.dumps(mutated(json.loads(content), draw)))
        return
    choice, place = draw.random(), draw.randrange(len(content))
    if choice < 0.4:
        content = content[:place]
    elif choice < 0.8:
        changed = draw.randbytes(draw.randrange(1, 4))
        content = content[:place] + changed + content[place + len(changed) :]
    elif choice < 0.9:
        content += content
    else:
        content = draw.randbytes(50)
    file.write_bytes(content)


def check_damage(write, numbers):
    """Checks that a damaged tokenizer is an error of ours, or works."""
    outcomes = {True: 0, False: 0}
    for number in numbers:
        draw = random.Random(number)
        directory = write(draw.choice(LAYOUTS), str(number))
        if draw.random() < 0.5:
            AutoTokenizer.from_pretrained(
                directory, normalization=("nfc",), extra_special_tokens=("[X]",)
            ).save_pretrained(directory)
        if (directory / "tokenizer.json").exists() and draw.random() < 0.3:
            (directory / "tokenizer_config.json").unlink()
            (directory / "special_tokens_map.json").write_text(
                '{"mask_token": {"content": "<mask>", "lstrip": true}}'
            )
            (directory / "added_tokens.json").write_text('{"[X]": 1}')
        damage(draw.choice(sorted(directory.iterdir())), draw)
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory)
        except errors.BertgenError:
            outcomes[False] += 1
            continue
        outcomes[True] += 1
        rows = tokenizer.encode_batch(["The bug [X] <mask>.\x01", "é中 the", ""])
        assert all(0 <= i < tokenizer.vocab_size for row in rows for i in row)
        tokenizer.batch_decode(rows, skip_special_tokens=True)
        tokenizer.save_pretrained(directory / "saved")
        again = AutoTokenizer.from_pretrained(directory / "saved")
        assert again.fingerprint == tokenizer.fingerprint, number
        assert again.encode_batch(["the bug [X]"]) == tokenizer.encode_batch(
            ["the bug [X]"]
        )
    assert min(outcomes.values()) > len(numbers) // 20, outcomes


def test_a_damaged_file_is_an_error_or_harmless(write):
    check_damage(write, range(150))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 9000, 1000))
def test_thousands_of_damaged_files_are_errors_or_harmless(write, start):
    check_damage(write, range(start, start + 1000))
