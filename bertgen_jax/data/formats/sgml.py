"""Reads the segments of the SGML files of the WMT test sets.

<doc docid="..."> holds <seg id="...">, which holds a text, as mteval reads them
(github.com/moses-smt/mosesdecoder, scripts/generic/mteval-v13a.pl). Tags may be in any
case, and other tags are ignored.
"""

import html
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file, lines, table

_TAG = re.compile(
    rb"<(?P<closes>/?)(?P<kind>doc|seg)(?=[\s>])(?P<attributes>[^<>]*)>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(rb"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_NAME_ATTRIBUTE = {"doc": "docid", "seg": "id"}
# The tags that may stand within a tag, and how messages say so.
_OPENS = {None: "doc", "doc": "seg"}
_EXPECTED = {None: "<doc>", "doc": "<seg> or </doc>", "seg": "</seg>"}
# Only these: in texts, a bare & may stand before a word that is the name of another.
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d+|#[xX][0-9a-fA-F]+);")
_LINE_END = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


class Segment(NamedTuple):
    """A segment with its tags, and its position in the file."""

    start: int
    end: int
    label: str  # "segment '1' of document 'a'"
    content: bytes


class _OpenTag(NamedTuple):
    kind: str
    name: str
    start: int


def segments(stream: IO[bytes], name: str) -> Iterator[Segment]:
    """Finds the segments of a file, which is read into memory.

    Raises:
      DataError: a tag is not closed, has no name or stands in the wrong place; the file
        is too long or in UTF-16.
    """
    whole = stream.read(byte_file.MAX_RECORD_BYTES + 1)
    content = lines.remove_byte_order_mark(whole, name)
    offset = len(whole) - len(content)
    if len(content) > byte_file.MAX_RECORD_BYTES:
        raise errors.DataError(
            f"{name} is longer than {byte_file.MAX_RECORD_BYTES:,} bytes; SGML is for "
            "test sets; expected large texts in files of lines."
        )

    def line(position: int) -> int:
        return content.count(b"\n", 0, position) + 1

    def misplaced(tag: str, position: int) -> errors.DataError:
        expected = _EXPECTED[None]
        if opened:
            kind, tag_name, start = opened[-1]
            expected = (
                f"{_EXPECTED[kind]} within <{kind}> {tag_name!r} of line {line(start)}"
            )
        return errors.DataError(
            f"{name}, line {line(position)}: found {tag}; expected {expected}."
        )

    opened: list[_OpenTag] = []
    for tag in _TAG.finditer(content):
        kind = tag["kind"].lower().decode()
        inside = opened[-1].kind if opened else None
        if kind != (inside if tag["closes"] else _OPENS.get(inside)):
            raise misplaced(table.excerpt(tag[0]), tag.start())
        if not tag["closes"]:
            tag_name = _attribute(tag["attributes"], _NAME_ATTRIBUTE[kind])
            if tag_name is None:
                raise errors.DataError(
                    f"{name}, line {line(tag.start())}: found {table.excerpt(tag[0])}; "
                    f'expected a name, as in <{kind} {_NAME_ATTRIBUTE[kind]}="1">.'
                )
            opened.append(_OpenTag(kind, tag_name, tag.start()))
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
    """Returns the text of a segment on one line, with its entities replaced.

    <seg id="1"> Q&amp;A </seg> -> Q&A

    Raises:
      BadRow: the content is not UTF-8.
    """
    text = table.decode(content[content.index(b">") + 1 : content.rindex(b"<")])
    line = _LINE_END.sub(" ", text).strip(" \t")
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), line)


def _attribute(attributes: bytes, wanted: str) -> str | None:
    for name, *values in _ATTRIBUTE.findall(attributes):
        if name.lower().decode("utf-8", "replace") == wanted:
            return b"".join(values).decode("utf-8", "replace").strip()
    return None
