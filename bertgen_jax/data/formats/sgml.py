"""The SGML of the WMT test sets in, the segments of its documents out.

<doc docid="..."> holds <seg id="...">, which holds a text, as mteval reads them
(github.com/moses-smt/mosesdecoder, scripts/generic/mteval-v13a.pl). Tags are of any
case, and other tags say nothing.
"""

import html
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file, lines, table

_TAG = re.compile(
    rb"<(?P<closes>/?)(?P<kind>doc|seg)(?=[\s>])(?P<attributes>[^<>]*)>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(rb"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_NAMED_BY = {"doc": "docid", "seg": "id"}
# What may come within what, and how that is told.
_OPENS = {None: "doc", "doc": "seg"}
_EXPECTED = {None: "<doc>", "doc": "<seg> or </doc>", "seg": "</seg>"}
# No others: texts have a bare & with a word behind it that happens to name one.
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d+|#[xX][0-9a-fA-F]+);")
_LINE_END = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


class Segment(NamedTuple):
    """A segment with its tags, and where in the file they begin and end."""

    start: int
    end: int
    label: str  # "segment '1' of document 'a'"
    content: bytes


class _Open(NamedTuple):
    kind: str
    name: str
    start: int


def segments(stream: io.BufferedReader, name: str) -> Iterator[Segment]:
    """Finds the segments of a file, which is held in memory meanwhile.

    Raises:
      DataError: a tag that is not closed, not named, or where it cannot be; a file that
        is too long, or in UTF-16.
    """
    whole = stream.read(byte_file.MAX_RECORD_BYTES + 1)
    content = lines.remove_byte_order_mark(whole, name)
    offset = len(whole) - len(content)
    if len(content) > byte_file.MAX_RECORD_BYTES:
        raise errors.DataError(
            f"{name} is longer than {byte_file.MAX_RECORD_BYTES:,} bytes; SGML is for "
            "test sets, and much text is expected in files of lines."
        )

    def line(where: int) -> int:
        return content.count(b"\n", 0, where) + 1

    def misplaced(found: str, where: int) -> errors.DataError:
        expected = _EXPECTED[None]
        if opened:
            kind, called, start = opened[-1]
            expected = (
                f"{_EXPECTED[kind]} within <{kind}> {called!r} of line {line(start)}"
            )
        return errors.DataError(
            f"{name}, line {line(where)}: found {found}; expected {expected}."
        )

    opened: list[_Open] = []
    for tag in _TAG.finditer(content):
        kind = tag["kind"].lower().decode()
        inside = opened[-1].kind if opened else None
        if kind != (inside if tag["closes"] else _OPENS.get(inside)):
            raise misplaced(table.excerpt(tag[0]), tag.start())
        if not tag["closes"]:
            named = _attribute(tag["attributes"], _NAMED_BY[kind])
            if named is None:
                raise errors.DataError(
                    f"{name}, line {line(tag.start())}: found {table.excerpt(tag[0])}; "
                    f'expected a name, as in <{kind} {_NAMED_BY[kind]}="1">.'
                )
            opened.append(_Open(kind, named, tag.start()))
            continue
        closed = opened.pop()
        if kind == "seg":
            yield Segment(
                offset + closed.start,
                offset + tag.end(),
                f"segment {closed.name!r} of document {opened[-1].name!r}",
                content[closed.start : tag.end()],
            )
    if opened:
        raise misplaced("the end of the file", len(content.rstrip()))


def segment_text(content: bytes) -> str:
    """The text of a segment on one line, its entities as what they stand for.

    <seg id="1"> Q&amp;A </seg> -> Q&A

    Raises:
      BadRow: it is no UTF-8.
    """
    text = table.decode(content[content.index(b">") + 1 : content.rindex(b"<")])
    line = _LINE_END.sub(" ", text).strip(" \t")
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), line)


def _attribute(attributes: bytes, wanted: str) -> str | None:
    for name, *values in _ATTRIBUTE.findall(attributes):
        if name.lower().decode("utf-8", "replace") == wanted:
            return b"".join(values).decode("utf-8", "replace").strip()
    return None
