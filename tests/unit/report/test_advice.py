"""Advice that ends in lines of configuration keeps them as lines, to be copied."""

from tests.unit.report import factories

from heliotrope.report import render_html, render_junit, render_markdown, render_terminal

TEXT = "Allow it in heliotrope.yaml:\nscan:\n  allow:\n    - global: x"


def test_lines_of_configuration_stay_lines() -> None:
    assessment, blobs = factories.hostile(TEXT)
    assert "\n            scan:\n              allow:\n                - global: x\n" in render_terminal(assessment)
    assert "\n\n      scan:\n        allow:\n          - global: x\n" in render_markdown(assessment)
    assert "\nscan:\n  allow:\n    - global: x</span>" in render_html(assessment, read_blob=blobs.get, rules=())
    assert "Fix: Allow it in heliotrope.yaml: scan: allow: - global: x" in render_junit(assessment)
