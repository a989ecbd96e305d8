"""Whole reports against files in tests/golden/report. HELIOTROPE_UPDATE_GOLDEN=1 writes them anew; read the difference."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.report import factories

from heliotrope.report import (
    IndexEntry,
    render_html,
    render_index_html,
    render_json,
    render_junit,
    render_markdown,
    render_sarif,
    render_scan_terminal,
    render_terminal,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "report"
DENIED, BLOBS = factories.denied()
HOSTILE, HOSTILE_BLOBS = factories.hostile(" ".join(text for text in factories.HOSTILE if len(text) < 300))
ASSESSMENTS = {
    "denied": (DENIED, BLOBS),
    "every-outcome": (factories.every_outcome(), {}),
    "empty": (factories.static_empty(), {}),
    "hostile": (HOSTILE, HOSTILE_BLOBS),
}
INDEX = (
    IndexEntry(
        "digits", "Trained as usual.", "deny", 1, True, "robust-accuracy: wanted 0.6, got 0.12", "a/report.html"
    ),
    IndexEntry("<b>", "Files & names", "malicious", 1, False, "|", "javascript:alert(1)"),
)


def _cases() -> dict[str, Callable[[], str]]:
    cases: dict[str, Callable[[], str]] = {}
    for name, (assessment, blobs) in ASSESSMENTS.items():
        if name != "hostile":  # long, and its structure is compared elsewhere
            cases[f"{name}.html"] = lambda a=assessment, b=blobs: render_html(a, read_blob=b.get, rules=factories.RULES)
        cases[f"{name}.sarif"] = lambda a=assessment: render_sarif(a, factories.RULES)
        cases[f"{name}.junit.xml"] = lambda a=assessment: render_junit(a)
        cases[f"{name}.md"] = lambda a=assessment: render_markdown(a)
        cases[f"{name}.txt"] = lambda a=assessment: render_terminal(a)
    cases["every-outcome.json"] = lambda: render_json(ASSESSMENTS["every-outcome"][0])
    cases["every-outcome-colour.txt"] = lambda: render_terminal(ASSESSMENTS["every-outcome"][0], color=True)
    cases["scan.json"] = lambda: render_json(factories.scan_document())
    cases["scan.sarif"] = lambda: render_sarif(factories.scan_document(), factories.RULES)
    cases["scan.txt"] = lambda: render_scan_terminal(factories.scan_document())
    cases["index.html"] = lambda: render_index_html(INDEX)
    return cases


CASES = _cases()


@pytest.mark.parametrize("name", sorted(CASES))
def test_report_is_as_it_was_agreed(name):
    path = GOLDEN / name
    rendered = CASES[name]()
    if os.environ.get("HELIOTROPE_UPDATE_GOLDEN") == "1":
        path.write_text(rendered, encoding="utf-8", newline="")
    assert rendered == path.read_bytes().decode("utf-8")


def test_no_golden_file_is_left_over():
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_rendering_twice_gives_the_same(name):
    assert CASES[name]() == CASES[name]()
