"""SGML of the WMT test sets: segments, their texts, and malformed files."""

import gzip

import pytest

from bertgen_jax import errors
from bertgen_jax.data.columns import Example
from bertgen_jax.data.examples import open_examples
from bertgen_jax.data.formats import byte_file, sgml

COLUMNS = {"source": "src.de", "target": "ref.en"}
# As the organisers of WMT 2014 wrote them.
SOURCE = """\
<srcset setid="newstest2014" srclang="any">
<doc sysid="ref" docid="1012-bbc" genre="news" origlang="de">
<hl>
<seg id="1">Gutach: Noch mehr Sicherheit</seg>
</hl>
<p>
<seg id="2">Zwei Anlagen so nah beieinander: Absicht &amp; Streich?</seg>
</p>
</doc>
<doc sysid="ref" docid="1052-lidove" genre="news" origlang="de">
<p>
<seg id="1">&quot;Ja&quot;</seg>
</p>
</doc>
</srcset>
"""
REFERENCE = """\
<refset setid="newstest2014" srclang="any" trglang="en">
<doc sysid="ref" docid="1012-bbc" genre="news" origlang="de">
<hl>
<seg id="1">Gutach: Increased safety</seg>
</hl>
<p>
<seg id="2">Two sets of lights so close: intentional &#38; a silly error?</seg>
</p>
</doc>
<doc sysid="ref" docid="1052-lidove" genre="news" origlang="de">
<p>
<seg id="1">"Yes"</seg>
</p>
</doc>
</refset>
"""


def read(tmp_path, source=SOURCE, reference=REFERENCE, columns=COLUMNS, **options):
    (tmp_path / "deen-src.de.sgm").write_text(source)
    (tmp_path / "deen-ref.en.sgm").write_text(reference)
    name = str(tmp_path / "deen-{src.de,ref.en}.sgm")
    return open_examples(name, columns, **options)


def test_segments_of_the_same_name_are_a_row(tmp_path):
    for _ in range(2):  # the second time from the cached index
        examples = read(tmp_path)
        assert [examples[i] for i in (2, 1, 0)] == [
            Example("deen-{src.de,ref.en}.sgm:3", '"Ja"', ('"Yes"',)),
            Example(
                "deen-{src.de,ref.en}.sgm:2",
                "Zwei Anlagen so nah beieinander: Absicht & Streich?",
                ("Two sets of lights so close: intentional & a silly error?",),
            ),
            Example(
                "deen-{src.de,ref.en}.sgm:1",
                "Gutach: Noch mehr Sicherheit",
                ("Gutach: Increased safety",),
            ),
        ]


def test_compressed_files_are_read_too(tmp_path):
    for name, text in (("src", SOURCE), ("ref", REFERENCE)):
        (tmp_path / f"{name}.SGM.gz").write_bytes(gzip.compress(text.encode()))
    examples = open_examples(
        "{src,ref}.SGM.gz", {"source": "src", "target": "ref"}, data_dir=tmp_path
    )
    assert len(examples) == 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<seg id=1> a  b\t</seg>", "a  b"),
        ("<seg id='1'>a\r\n  b \n\n c</seg>", "a b c"),
        ("<SEG\nID = '1' x=\"2\">a</Seg >", "a"),
        (
            "<seg id='1'>&lt;a&gt; &quot;&apos;&amp;&#228;&#xE4;</seg>",
            "<a> \"'&\u00e4\u00e4",
        ),
        (
            "<seg id='1'>&amp;lt; AT&T &copy; &copy &#; a < b</seg>",
            "&lt; AT&T &copy; &copy &#; a < b",
        ),
        ("<seg id='1'>\u2028a\u00a0</seg>", "\u2028a\u00a0"),
        ("<seg id='1'><hl>a</hl></seg>", "<hl>a</hl>"),
    ],
)
def test_texts_are_on_one_line_and_entities_are_characters(content, text, tmp_path):
    assert sgml.segment_text(content.encode()) == text
    whole = f"<?xml version='1.0'?><DOC docid=a>{content}</DOC>"
    (row,) = read(tmp_path, whole, whole)
    assert row.source == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '<seg id="2">',
            '<seg id="3">',
            r"segment 2 is segment '2' of document '1012-bbc' of \S+src\.de\.sgm and "
            r"segment '3' of document '1012-bbc' of \S+ref\.en\.sgm; files that belong",
        ),
        (
            '"1052-lidove"',
            '"1052-lidov"',
            "segment 3 is segment '1' of document '1052-lidove' of .* and segment '1' "
            "of document '1052-lidov' of",
        ),
        (
            '<seg id="1">"Yes"</seg>',
            "",
            r"as many segments; found 3 in \S+src.* and 2 in \S+",
        ),
        (
            "</seg>\n</hl>",
            "\n</hl>",
            "line 7: found '<seg id=.*expected </seg> within <seg> '1' of line 4",
        ),
        (
            "</p>\n</doc>\n<doc",
            "</p>\n<doc",
            "line 9: found '<doc .* expected <seg> or </doc> within <doc> '1012-bbc'",
        ),
        (
            "</doc>\n</refset>",
            "",
            "line 13: found the end of the file; expected <seg> or",
        ),
        (
            '"Yes"</seg>\n</p>\n</doc>\n</refset>',
            '"Yes',
            "line 12: found the end of the file; expected </seg> within <seg> '1'",
        ),
        (
            '<seg id="1">"Yes"',
            '"Yes"',
            "line 12: found '</seg>'; expected <seg> or </doc> within <doc> '1052-",
        ),
        (
            '<doc sysid="ref" docid="1012-bbc" genre="news" origlang="de">',
            "",
            r"line 4: found '<seg id=\"1\">'; expected <doc>\.",
        ),
        (
            ' docid="1012-bbc"',
            "",
            'line 2: found .*; expected a name, as in <doc docid="1">',
        ),
        (
            '<seg id="2">',
            "<seg n='2' id>",
            'line 7: found .*; expected a name, as in <seg id="1">',
        ),
    ],
)
@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_malformed_files_and_files_of_other_texts_are_errors(
    old, new, message, on_bad_row, tmp_path
):
    assert old in REFERENCE
    reference = REFERENCE.replace(old, new, 1)
    with pytest.raises(errors.DataError, match=message):
        read(tmp_path, reference=reference, on_bad_row=on_bad_row)


def test_an_empty_segment_is_a_bad_row(tmp_path):
    source, reference = (
        text.replace('"1">"Yes"', '"1">') for text in (SOURCE, REFERENCE)
    )
    with pytest.raises(errors.DataError, match=r"segment 3: column 'ref\.en' is em"):
        read(tmp_path, source, reference)
    assert len(read(tmp_path, source, reference, on_bad_row="skip")) == 2


def test_a_byte_order_mark_is_ignored(tmp_path):
    assert len(read(tmp_path, "\ufeff" + SOURCE)) == 3
    assert read(tmp_path, "\ufeff" + SOURCE)[2].source == '"Ja"'


def test_sgml_and_text_files_do_not_belong_together(tmp_path):
    (tmp_path / "x.sgm").write_text(SOURCE)
    (tmp_path / "x.de").write_text("a\n")
    with pytest.raises(errors.DataError, match=r"x\.sgm is SGML and others are not"):
        open_examples(
            "x.{de,sgm}", {"source": "de", "target": "sgm"}, data_dir=tmp_path
        )


def test_files_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(byte_file, "MAX_RECORD_BYTES", 100)
    with pytest.raises(errors.DataError, match="is longer than 100 bytes; SGML is for"):
        read(tmp_path)
