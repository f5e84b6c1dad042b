"""What stands beside a vocabulary in; constructor arguments out, and the way back.

`tokenizer_config.json` holds the arguments, special strings as text or as
`{"content": text, ...}`, and in `added_tokens_decoder` the id of each string that is
cut out of a text. Directories older than that key have special_tokens_map.json and
added_tokens.json instead; newer ones keep such strings in tokenizer.json. What Hugging
Face has no word for stands under "bertgen_jax", which it carries along unread.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax import errors
from bertgen_jax.tokenizers import json_files
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.json_files import field, read_object

CONFIG_FILE = "tokenizer_config.json"
OWN_KEY = "bertgen_jax"
NO_LIMIT = 10**9  # ids; Hugging Face writes int(1e30) where there is no limit
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


def read(
    directory: str | os.PathLike[str],
    roles: Sequence[str],
    fields: Mapping[str, Any],
    own_fields: Mapping[str, Any],
    added: Sequence[AddedToken] = (),
) -> dict[str, Any]:
    """Reads the options that were saved beside a vocabulary.

    Args:
      directory: where they are, if anywhere.
      roles: names of the special strings with a role, such as "bos_token".
      fields: type of each further argument that has a name of Hugging Face's.
      own_fields: type of each that has a name of ours only.
      added: the strings of tokenizer.json.

    Returns:
      The constructor's arguments, without what no file says. Keys that no tokenizer of
      ours has, such as `keep_accents`, are left out.

    Raises:
      TokenizerError: a file is malformed.
    """
    directory = pathlib.Path(directory)
    file = directory / CONFIG_FILE
    config = _read_if_there(file)
    old = {}
    if "added_tokens_decoder" not in config:
        config |= _read_if_there(directory / "special_tokens_map.json")
        old_file = directory / "added_tokens.json"
        old = {t: _index(i, old_file) for t, i in _read_if_there(old_file).items()}
    options = _special_strings(config, roles, old, added, file)

    limit = field(config, "model_max_length", int | float, file)
    if limit is not None and limit < 1:
        raise errors.TokenizerError(
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
    old: Mapping[str, int],
    added: Sequence[AddedToken],
    file: pathlib.Path,
) -> dict[str, Any]:
    """The options that name special and added strings; see `read`."""
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
            extra.append(value)  # such as cls_token: special, but without a role here
    extra = [added_token(value, file, special=True) for value in extra]
    options["extra_special_tokens"] = tuple(token.content for token in extra)

    # What gives an id comes last, so that it wins.
    tokens = {token.content: token for token in (*extra, *named)}
    for content, index in old.items():
        tokens[content] = AddedToken(content, index, normalized=content not in tokens)
    decoder = field(config, "added_tokens_decoder", dict, file) or {}
    listed = [
        added_token(value, file, index=_index(index, file))
        for index, value in decoder.items()
    ]
    tokens |= {token.content: token for token in (*added, *listed)}
    options["added_tokens"] = tuple(tokens.values())
    return options


def peer_class(directory: pathlib.Path) -> str:
    """What Hugging Face calls the tokenizer of a directory; "" if it does not say."""
    for name in (CONFIG_FILE, "config.json"):
        file = directory / name
        found = field(_read_if_there(file), "tokenizer_class", str, file)
        if found:
            return found.removesuffix("Fast")
    return ""


def write(
    directory: str | os.PathLike[str],
    tokenizer_class: str,
    options: Mapping[str, Any],
    own_options: Mapping[str, Any],
    added: Sequence[AddedToken] = (),
) -> None:
    """Writes `tokenizer_config.json` so that Hugging Face and `read` give it all back.

    Args:
      directory: where to; it exists.
      tokenizer_class: name of Hugging Face's class.
      options: the arguments that it knows.
      own_options: those that it does not know; what is not set is left out.
      added: every string that is cut out of text, where no other file says it.
    """
    config = {**options, "tokenizer_class": tokenizer_class}
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
    (pathlib.Path(directory) / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def added_token(
    value: Any,
    file: str | os.PathLike[str],
    *,
    index: int | None = None,
    special: bool = False,
) -> AddedToken:
    """A special or added string as the files give it: text, or an object with flags.

    Raises:
      TokenizerError: it is neither.
    """
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise errors.TokenizerError(
            f"{file} gives {json_files.shown(value)} as a special string; expected "
            'text, or an object with its text under "content".'
        )
    flags: dict[str, bool] = {"special": special}
    if isinstance(value, dict):
        found = {flag: field(value, flag, bool, file) for flag in FLAGS}
        flags |= {flag: on for flag, on in found.items() if on is not None}
    flags.setdefault("normalized", not flags["special"])
    return AddedToken(content, index, **flags)


def _read_if_there(file: pathlib.Path) -> dict[str, Any]:
    return read_object(file) if file.exists() else {}


def _index(index: Any, file: pathlib.Path) -> int:
    """An id, which as a JSON key is a string of digits."""
    digits = str(index)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise errors.TokenizerError(
            f"{file} gives {json_files.shown(index)} as the id of an added string; "
            "expected 0 or more."
        )
    return int(digits)
