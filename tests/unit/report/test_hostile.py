"""Any text anywhere: reports keep their structure and show nothing that is invisible."""

import json
import re
import xml.etree.ElementTree as ET

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.report import factories
from tests.unit.report.test_html import Outline

from heliotrope.report import (
    render_html,
    render_junit,
    render_markdown,
    render_sarif,
    render_scan_terminal,
    render_terminal,
)
from heliotrope.report._lines import columns

ANY = st.text(st.characters(codec=None, categories=None), min_size=1, max_size=60)
NASTY = st.lists(
    st.sampled_from([*"<>&\"'|`[]()@#{}%\\\n\r\x00\x1b\x7f\x9b\u202e\u2028\ud800\ufffe", "]]>", "-->", "1", "x"])
).map("".join)
TEXTS = st.one_of(ANY, NASTY).map("x".__add__)
"""Not empty and no number: those choose other branches, which have tests of their own."""


def tree(text):
    return [(item.tag, tuple(item.attrib), len(item)) for item in ET.fromstring(text).iter()]


@given(TEXTS)
@settings(max_examples=60)
def test_xml_keeps_its_structure(text):
    rendered = render_junit(factories.hostile(text)[0])
    assert factories.visible(rendered)
    assert tree(rendered) == tree(render_junit(factories.hostile("harmless")[0]))


@given(TEXTS)
@settings(max_examples=40)
def test_html_keeps_its_structure(text):
    def outline(word):
        assessment, blobs = factories.hostile(word)
        rendered = render_html(assessment, read_blob=blobs.get, rules=[factories.hostile_rule(word)])
        assert factories.visible(rendered)
        return Outline(rendered).tags

    assert outline(text) == outline("harmless")


@given(TEXTS)
@settings(max_examples=60)
def test_sarif_is_json_with_encoded_uris(text):
    rendered = render_sarif(factories.hostile(text)[0], [factories.hostile_rule(text)])
    assert rendered.isascii()
    assert factories.visible(rendered)
    for artifact in json.loads(rendered)["runs"][0]["artifacts"]:
        assert re.fullmatch(r"(file:///)?[A-Za-z0-9/%._~-]+", artifact["location"]["uri"])


@given(TEXTS)
@example(
    "x\x8500000\x1b\x1b\x1b\x1b⺀\ud7fc\U00010d3a\U00012544\U00018cd6\U0003134b"
)  # a wide character in the 80th column
@settings(max_examples=60)
def test_text_formats_show_nothing_invisible(text):
    assessment, _ = factories.hostile(text)
    markdown = render_markdown(assessment)
    assert factories.visible(markdown)
    assert markdown.count("<details>") == markdown.count("</details>") == 1
    for rendered in (render_terminal(assessment), render_scan_terminal(factories.hostile_scan(text))):
        assert factories.visible(rendered)
        assert max(columns(line) for line in rendered.split("\n")) <= 80
