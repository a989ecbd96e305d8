"""Reports: every format is drawn from one result and from nothing else. A format is imported when it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliotrope.report._attack_terminal import render_attack
    from heliotrope.report._bom import render_bom
    from heliotrope.report._bom_facts import BomAssessment, BomData, BomEvidence, BomFacts, BomFile, BomModel
    from heliotrope.report._explain_files import ExplanationFile, explanation_files, render_explanations
    from heliotrope.report._explain_terminal import render_explain
    from heliotrope.report._hardening_terminal import render_hardening
    from heliotrope.report._html import IndexEntry, render_html, render_index_html
    from heliotrope.report._json import render_json
    from heliotrope.report._junit import junit_schema, render_junit
    from heliotrope.report._markdown import render_markdown
    from heliotrope.report._sarif import render_sarif
    from heliotrope.report._scan_junit import render_scan_junit
    from heliotrope.report._scan_terminal import render_scan_terminal
    from heliotrope.report._terminal import render_terminal
    from heliotrope.report._view import security_severity
    from heliotrope.report.schemas import json_schemas

__all__ = [
    "BomAssessment",
    "BomData",
    "BomEvidence",
    "BomFacts",
    "BomFile",
    "BomModel",
    "ExplanationFile",
    "IndexEntry",
    "explanation_files",
    "json_schemas",
    "junit_schema",
    "render_attack",
    "render_bom",
    "render_explain",
    "render_explanations",
    "render_hardening",
    "render_html",
    "render_index_html",
    "render_json",
    "render_junit",
    "render_markdown",
    "render_sarif",
    "render_scan_junit",
    "render_scan_terminal",
    "render_terminal",
    "security_severity",
]

_HOMES = {
    "BomAssessment": "_bom_facts",
    "BomData": "_bom_facts",
    "BomEvidence": "_bom_facts",
    "BomFacts": "_bom_facts",
    "BomFile": "_bom_facts",
    "BomModel": "_bom_facts",
    "ExplanationFile": "_explain_files",
    "IndexEntry": "_html",
    "explanation_files": "_explain_files",
    "json_schemas": "schemas",
    "junit_schema": "_junit",
    "render_attack": "_attack_terminal",
    "render_bom": "_bom",
    "render_hardening": "_hardening_terminal",
    "render_explain": "_explain_terminal",
    "render_explanations": "_explain_files",
    "render_html": "_html",
    "render_index_html": "_html",
    "render_json": "_json",
    "render_junit": "_junit",
    "render_markdown": "_markdown",
    "render_sarif": "_sarif",
    "render_scan_junit": "_scan_junit",
    "render_scan_terminal": "_scan_terminal",
    "render_terminal": "_terminal",
    "security_severity": "_view",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
