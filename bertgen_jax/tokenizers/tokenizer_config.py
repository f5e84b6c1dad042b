"""Reading and writing of tokenizer_config.json and the files that preceded it.

tokenizer_config.json holds the arguments of the constructor. Special strings are text,
or objects `{"content": text, ...}`; `added_tokens_decoder` has the id of each string
that is cut out of a text. Older directories have special_tokens_map.json and
added_tokens.json instead of that key; newer ones list such strings in tokenizer.json.
Options that Hugging Face does not know are stored under "bertgen_jax", which its
library preserves.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.errors import TokenizerError
from bertgen_jax.files import atomic, json_files
from bertgen_jax.files.json_files import shown
from bertgen_jax.files.paths import StrPath
from bertgen_jax.tokenizers.added_tokens import AddedToken

CONFIG_FILE = "tokenizer_config.json"
OWN_KEY = "bertgen_jax"
NO_LIMIT = 10**9  # ids; Hugging Face writes int(1e30) if there is no limit
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


def read(
    directory: StrPath,
    roles: Sequence[str],
    fields: Mapping[str, Any],
    own_fields: Mapping[str, Any],
    added: Sequence[AddedToken] = (),
) -> dict[str, Any]:
    """Reads the options that were saved beside a vocabulary.

    Args:
      directory: the directory of the files, none of which must exist.
      roles: names of the special strings with a role, such as "bos_token".
      fields: the types of further arguments that Hugging Face knows.
      own_fields: the types of further arguments that it does not know.
      added: the added strings of tokenizer.json.

    Returns:
      Arguments of the constructor, as far as the files contain them. Keys that our
      tokenizers do not have, such as `keep_accents`, are ignored.

    Raises:
      TokenizerError: a file is malformed.
    """
    directory = pathlib.Path(directory)
    file = directory / CONFIG_FILE
    config = _read_if_exists(file)
    old_ids: dict[str, int] = {}
    if "added_tokens_decoder" not in config:
        config |= _read_if_exists(directory / "special_tokens_map.json")
        old_file = directory / "added_tokens.json"
        old_ids = {
            content: _index(index, old_file)
            for content, index in _read_if_exists(old_file).items()
        }
    options = _special_strings(config, roles, old_ids, added, file)

    limit = field(config, "model_max_length", int | float, file)
    if limit is not None and limit < 1:
        raise TokenizerError(
            f"model_max_length in {file} is {limit}; expected at least 1 id."
        )
    if limit is not None and limit < NO_LIMIT:
        options["model_max_length"] = int(limit)
    own = field(config, OWN_KEY, dict, file) or {}
    for values, kinds in (
        (config, {**fields, "clean_up_tokenization_spaces": bool}),
        (own, {**own_fields, "normalization": list, "source_specials": bool}),
    ):
        for key, kind in kinds.items():
            value = field(values, key, kind, file)
            if value is not None:
                options[key] = value
    return options


def _special_strings(
    config: Mapping[str, Any],
    roles: Sequence[str],
    old_ids: Mapping[str, int],
    added: Sequence[AddedToken],
    file: pathlib.Path,
) -> dict[str, Any]:
    """Returns the options that name special and added strings; see `read`."""
    options: dict[str, Any] = {}
    extra = field(config, "extra_special_tokens", list | dict, file)
    extra = extra or field(config, "additional_special_tokens", list, file) or []
    extra = list(extra.values() if isinstance(extra, dict) else extra)
    named = []
    for key, value in config.items():
        if key in roles:
            options[key] = None
            if value is not None:
                named.append(added_token(value, file, special=True))
                options[key] = named[-1].content
        elif key.endswith("_token") and isinstance(value, str | dict):
            extra.append(value)  # such as cls_token: special, but not a role here
    extra = [added_token(value, file, special=True) for value in extra]
    options["extra_special_tokens"] = tuple(token.content for token in extra)

    # Entries with an id come last, because they override the others.
    tokens = {token.content: token for token in (*extra, *named)}
    for content, index in old_ids.items():
        tokens[content] = AddedToken(content, index, normalized=content not in tokens)
    decoder = field(config, "added_tokens_decoder", dict, file) or {}
    listed = [
        added_token(value, file, index=_index(index, file))
        for index, value in decoder.items()
    ]
    tokens |= {token.content: token for token in (*added, *listed)}
    options["added_tokens"] = tuple(tokens.values())
    return options


def tokenizer_class(directory: pathlib.Path) -> str:
    """Returns Hugging Face's name of the tokenizer of a directory; "" if unknown."""
    for name in (CONFIG_FILE, "config.json"):
        file = directory / name
        class_name = field(_read_if_exists(file), "tokenizer_class", str, file)
        if class_name:
            return class_name.removesuffix("Fast")
    return ""


def write(
    directory: StrPath,
    class_name: str,
    options: Mapping[str, Any],
    own_options: Mapping[str, Any],
    added: Sequence[AddedToken] = (),
) -> None:
    """Writes a tokenizer_config.json that Hugging Face's library and `read` load.

    Args:
      directory: where to write it; created if necessary.
      class_name: the name of Hugging Face's class.
      options: the arguments that it knows.
      own_options: the arguments that it does not know; empty ones are left out.
      added: the strings that are cut out of texts, if no other file lists them.
    """
    config = {**options, "tokenizer_class": class_name}
    if added:
        config["added_tokens_decoder"] = {
            str(token.id): {
                "content": token.content,
                **{flag: getattr(token, flag) for flag in FLAGS},
            }
            for token in added
        }
    own = {key: value for key, value in own_options.items() if value}
    if own:
        config[OWN_KEY] = own
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    atomic.write_text(pathlib.Path(directory) / CONFIG_FILE, text + "\n")


def added_token(
    value: Any,
    file: StrPath,
    *,
    index: int | None = None,
    special: bool = False,
) -> AddedToken:
    """Returns a special or added string of a file: text, or an object with flags.

    Args:
      value: the JSON value.
      file: named in messages.
      index: the id, if it is known.
      special: whether the string is special, if the value does not say so.

    Raises:
      TokenizerError: the value is neither.
    """
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise TokenizerError(
            f"{file} has {shown(value)} as a special string; expected "
            'text, or an object with its text under "content".'
        )
    flags: dict[str, bool] = {"special": special}
    if isinstance(value, dict):
        values = {flag: field(value, flag, bool, file) for flag in FLAGS}
        flags |= {flag: on for flag, on in values.items() if on is not None}
    flags.setdefault("normalized", not flags["special"])
    return AddedToken(content, index, **flags)


def read_object(file: StrPath) -> dict[str, Any]:
    """Reads a JSON file of a tokenizer.

    Raises:
      TokenizerError: it cannot be read, or does not hold one JSON object.
    """
    return json_files.read_object(
        file, error=TokenizerError, expected="a file of a tokenizer"
    )


def _read_if_exists(file: pathlib.Path) -> dict[str, Any]:
    return read_object(file) if file.exists() else {}


def field(value: Mapping[str, Any], key: str, kind: Any, file: StrPath) -> Any:
    """Returns `value[key]`; None if it is absent or null.

    Args:
      value: a JSON object.
      key: the name of the field.
      kind: the type of the field, or a union of types.
      file: named in messages.

    Raises:
      TokenizerError: the field has another type.
    """
    item = value.get(key)
    if item is None:
        return None
    if not isinstance(item, kind) or (isinstance(item, bool) and kind is not bool):
        raise TokenizerError(
            f"{key} in {file} is {shown(item)}; expected "
            f"{getattr(kind, '__name__', kind)}."
        )
    return item


def _index(index: Any, file: pathlib.Path) -> int:
    """Returns an id, which is a string of digits if it is a JSON key."""
    digits = str(index)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise TokenizerError(
            f"{file} has {shown(index)} as the id of an added string; "
            "expected 0 or more."
        )
    return int(digits)
