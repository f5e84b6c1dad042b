"""A Hugging Face tokenizer directory in, constructor arguments out, and the way back.

`tokenizer_config.json` holds the arguments, special strings as text or as
`{"content": text, ...}`, and in `added_tokens_decoder` the id of each string that is
cut out of a text. Directories older than that key have special_tokens_map.json and
added_tokens.json instead. What Hugging Face has no word for stands under "bertgen_jax",
which it carries along unread.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax import errors
from bertgen_jax.suggest import nearest

CONFIG_FILE = "tokenizer_config.json"
OWN_KEY = "bertgen_jax"
NO_LIMIT = 10**9  # ids; Hugging Face writes int(1e30) where there is no limit


def read(
    source: str | os.PathLike[str], vocab_name: str, roles: Sequence[str]
) -> tuple[pathlib.Path, dict[str, Any]]:
    """Finds the vocabulary and the options that were saved beside it.

    Args:
      source: a directory, or the vocabulary file alone, which has no options.
      vocab_name: what the vocabulary file is called in a directory.
      roles: names of the special strings with a role, such as "bos_token".

    Returns:
      The vocabulary's path and the constructor's arguments. Keys that no tokenizer of
      ours has, such as `keep_accents`, are left out.

    Raises:
      TokenizerError: a file is missing or malformed.
    """
    source = pathlib.Path(source).expanduser()
    vocab_file = source / vocab_name if source.is_dir() else source
    if not vocab_file.is_file():
        raise errors.TokenizerError(_not_found(vocab_file))
    if vocab_file == source:
        return vocab_file, {}

    file = source / CONFIG_FILE
    config = _read_object(file)
    decoder = _field(config, "added_tokens_decoder", dict, file)
    if decoder is None:
        config |= _read_object(source / "special_tokens_map.json")
        old = source / "added_tokens.json"
        added = {token: _index(i, old) for token, i in _read_object(old).items()}
    else:
        added = {_content(token, file): _index(i, file) for i, token in decoder.items()}

    extra = _field(config, "extra_special_tokens", list | dict, file)
    extra = extra or _field(config, "additional_special_tokens", list, file) or []
    extra = list(extra.values() if isinstance(extra, dict) else extra)
    options: dict[str, Any] = {}
    for key, value in config.items():
        if key in roles:
            options[key] = None if value is None else _content(value, file)
        elif key.endswith("_token") and isinstance(value, str | dict):
            extra.append(value)  # such as cls_token: special, but without a role here
    options["added_tokens"] = added
    options["extra_special_tokens"] = tuple(_content(token, file) for token in extra)
    options["sp_model_kwargs"] = _field(config, "sp_model_kwargs", dict, file)
    limit = _field(config, "model_max_length", int | float, file)
    if limit is not None and limit < NO_LIMIT:
        options["model_max_length"] = int(limit)
    clean_up = _field(config, "clean_up_tokenization_spaces", bool, file)
    options["clean_up_tokenization_spaces"] = bool(clean_up)
    own = _field(config, OWN_KEY, dict, file) or {}
    options["normalization"] = tuple(_field(own, "normalization", list, file) or ())
    return vocab_file, options


def write(
    directory: str | os.PathLike[str],
    tokenizer_class: str,
    options: Mapping[str, Any],
    added_tokens: Mapping[str, int],
    special_tokens: Sequence[str],
) -> None:
    """Writes `tokenizer_config.json` so that Hugging Face and `read` give it all back.

    Args:
      directory: where to; it exists.
      tokenizer_class: name of the class, equal to Hugging Face's.
      options: the constructor's arguments.
      added_tokens: every string that is cut out of text, with its id.
      special_tokens: those among them that `skip_special_tokens` drops.
    """
    config = {
        key: value
        for key, value in options.items()
        if key.endswith("_token")
        or key in ("sp_model_kwargs", "clean_up_tokenization_spaces")
    }
    config["tokenizer_class"] = tokenizer_class
    config["added_tokens_decoder"] = {
        str(index): {
            "content": token,
            "lstrip": False,
            "normalized": token not in special_tokens,
            "rstrip": False,
            "single_word": False,
            "special": token in special_tokens,
        }
        for token, index in sorted(added_tokens.items(), key=lambda item: item[1])
    }
    if options["extra_special_tokens"]:
        config["extra_special_tokens"] = list(options["extra_special_tokens"])
    if options["model_max_length"] is not None:
        config["model_max_length"] = options["model_max_length"]
    if options["normalization"]:
        config[OWN_KEY] = {"normalization": list(options["normalization"])}
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (pathlib.Path(directory) / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _not_found(file: pathlib.Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return (
            f"There is nothing at {file}. Expected a tokenizer directory or a "
            "vocabulary file on this machine; nothing is downloaded."
        )
    names = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") or "nothing"
    return (
        f"Found no {file.name} in {folder}, which holds {listed}."
        f"{nearest(file.name, names)}"
    )


def _read_object(file: pathlib.Path) -> dict[str, Any]:
    """The JSON object in `file`; an empty one if there is no such file."""
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # of the decoding of JSON or of UTF-8
        raise errors.TokenizerError(f"{file} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise errors.TokenizerError(
            f"{file} holds a JSON {type(value).__name__}; expected an object."
        )
    return value


def _field(config: Mapping[str, Any], key: str, kind: Any, file: pathlib.Path) -> Any:
    """`config[key]`, None if absent or null."""
    value = config.get(key)
    if value is not None and not isinstance(value, kind):
        raise errors.TokenizerError(
            f"{key} in {file} is {value!r}; expected {getattr(kind, '__name__', kind)}."
        )
    return value


def _content(token: Any, file: pathlib.Path) -> str:
    """The text of a special string."""
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise errors.TokenizerError(
            f"{file} gives {token!r} as a special string; expected text, or an object "
            'with its text under "content".'
        )
    return text


def _index(index: Any, file: pathlib.Path) -> int:
    """An id, which as a JSON key is a string of digits."""
    if not str(index).isdecimal():
        raise errors.TokenizerError(
            f"{file} gives {index!r} as the id of an added string; expected 0 or more."
        )
    return int(index)
