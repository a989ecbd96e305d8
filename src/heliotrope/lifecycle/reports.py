"""Writing the reports of one assessment beside each other."""

from collections.abc import Callable
from pathlib import Path

from heliotrope.core.assessments import Assessment
from heliotrope.core.text import printable
from heliotrope.lifecycle.rules import all_rules
from heliotrope.lifecycle.state import OutputError, write_text
from heliotrope.report import render_html, render_json, render_junit, render_markdown, render_sarif

__all__ = ["write_reports"]


def write_reports(
    assessment: Assessment, folder: Path, *, read_blob: Callable[[str], bytes | None], bom: str | None = None
) -> dict[str, Path]:
    """report.html, .json, .sarif, .junit.xml and .md, and the bill of materials bom.cdx.json if any; the paths by format."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{printable(str(folder))} cannot be made: {error.strerror}", hint="choose another folder with --report-dir"
        ) from None
    rules = all_rules()
    texts = {
        "html": ("report.html", render_html(assessment, read_blob=read_blob, rules=rules)),
        "json": ("report.json", render_json(assessment)),
        "sarif": ("report.sarif", render_sarif(assessment, rules)),
        "junit": ("report.junit.xml", render_junit(assessment)),
        "markdown": ("report.md", render_markdown(assessment)),
    }
    if bom is not None:
        texts["bom"] = ("bom.cdx.json", bom)
    paths = {}
    for form, (name, text) in texts.items():
        paths[form] = folder / name
        write_text(paths[form], text)
    return paths
