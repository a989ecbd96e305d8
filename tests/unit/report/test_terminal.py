import subprocess
import sys

import pytest
from tests.unit.report import factories

from heliotrope.report import render_scan_terminal, render_terminal
from heliotrope.report._lines import columns, wrap

DENIED, _ = factories.denied()


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("text", factories.HOSTILE)
def test_no_line_is_too_wide_and_nothing_steers_the_terminal(text, width):
    for rendered in (
        render_terminal(factories.hostile(text)[0], width=width),
        render_scan_terminal(factories.hostile_scan(text), width=width),
    ):
        lines = rendered.split("\n")
        assert max(columns(line) for line in lines) <= width
        assert factories.visible(rendered)


def test_order_of_an_assessment():
    text = render_terminal(DENIED)
    parts = [
        "✗ DENIED:",
        "In the way: 3",
        "Satisfied: 2",
        "Findings: 1 critical, 1 high",
        "Did not conclude",
        "Measured",
    ]
    parts += ["Since 01JDSKQ5Z0PREVIOUS", "ledger head", factories.HEAD]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_what_stands_in_the_way_says_wanted_actual_and_what_to_do():
    text = render_terminal(DENIED)
    assert "    wanted  robust_accuracy ≥ 0.8\n" in text
    assert "    actual  0.6894 [0.6802, 0.6985], n = 10000\n" in text
    assert "    to do   Train adversarially" in text
    assert "    needs   threat.restarts, --suite deep\n" in text


def test_every_outcome_that_is_no_conclusion_is_named_with_its_kind():
    text = render_terminal(factories.every_outcome())
    assert "! check.error on model classifier: error (timeout)" in text
    assert "? check.inconclusive on model classifier: inconclusive" in text
    assert "○ check.skipped on model classifier: skipped (missing_extra)" in text


def test_more_than_ten_findings_are_counted():
    flood = DENIED.model_copy(update={"findings": DENIED.findings * 20})
    text = render_terminal(flood)
    assert "and 30 more findings" in text
    assert text.count("◆ critical") == 10


def test_colour_only_when_asked():
    assert "\x1b" not in render_terminal(DENIED)
    coloured = render_terminal(DENIED, color=True)
    assert coloured.startswith("\x1b[1;31m✗ DENIED")
    assert coloured.count("\x1b[0m") * 2 == coloured.count("\x1b[")


def test_a_scan_shows_the_worst_first_and_what_was_not_analysed():
    text = render_scan_terminal(factories.scan_document())
    assert text.startswith("✗ MALICIOUS: 1 file malicious, 1 file incomplete, 1 file clean\n")
    assert text.index("resnet.pt") < text.index("half.pkl") < text.index("classifier.safetensors")
    assert "not analysed to the end: ends in the middle of an opcode, at byte 2,047" in text


def test_a_scan_of_nothing_is_not_clean():
    assert render_scan_terminal(factories.scan_document(())).startswith("? NOTHING JUDGED: no file was judged")


@pytest.mark.parametrize("text", ["汉字" * 30, "a" * 100, "e\u0301" * 90, "one two three " * 20, "", "   "])
def test_wrapping_keeps_every_character(text):
    lines = wrap(text, 20)
    assert all(columns(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_scan_on_a_terminal_loads_nothing_heavy():
    program = (
        "import sys, heliotrope.report as r\n"
        "from tests.unit.report.factories import scan_document\n"
        "r.render_scan_terminal(scan_document())\n"
        "print([m for m in ('rich', 'jinja2', 'markupsafe', 'torch', 'numpy', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_root())
    assert done.stdout == "[]\n"


def _root():
    from pathlib import Path

    return Path(__file__).parents[3]
