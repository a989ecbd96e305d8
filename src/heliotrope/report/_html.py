"""The page: self-contained HTML without script or outside request. Every text is escaped, every number leads to evidence."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from heliotrope.core.assessments import Assessment, EvidenceEntry
from heliotrope.core.findings import Rule
from heliotrope.core.predicates.quality import CorruptionsPredicate, Faulted, MissingValuesPredicate
from heliotrope.core.text import printable
from heliotrope.report import _text, _view
from heliotrope.report._pictures import MAX_EXAMPLES, ReadBlob, picture, pictures
from heliotrope.report._view import View

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

__all__ = ["IndexEntry", "render_html", "render_index_html", "template"]

_MAX_PREDICATE = 100_000
"""Characters of one predicate that the page shows; report.json has all of it."""
_MAX_LISTED = 500
"""Findings of one severity, rules, runs or evidence entries that the page lists."""
_MAX_CHANGES = 12
"""Changed features of one adversarial row."""
_MAX_FEATURES = 30
"""Features whose absence is listed, the dearest first."""
_SCHEMES = ("https://", "http://", "file:///")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One report on the index page."""

    title: str
    description: str
    verdict: str
    """Of an assessment (allow, deny, needs-review), a scan (clean, suspicious, ...) or hardening (better, ...)."""
    exit_code: int
    expected: bool
    """Whether the verdict is the one that was expected."""
    reason: str
    href: str
    """Address of the report, relative to the index page."""


def render_html(assessment: Assessment, *, read_blob: ReadBlob, rules: Sequence[Rule]) -> str:
    """The whole report as one page. `read_blob` gives the bytes of a picture by its SHA-256; `rules` explains findings."""
    from heliotrope.report._bands import proven_bar, proven_share
    from heliotrope.report._charts import accuracy_curve, curve_points, interval_bar, training_curve
    from heliotrope.report._hardening_terminal import VERDICTS, hardening_rows

    view = View(assessment, rules)
    return template("report.html.j2").render(
        view=view,
        a=assessment,
        decision=assessment.decision,
        read_pictures=lambda example: pictures(example, read_blob),
        read_picture=lambda title, blob: picture(title, blob, read_blob),
        max_examples=MAX_EXAMPLES,
        max_listed=_MAX_LISTED,
        max_changes=_MAX_CHANGES,
        max_features=_MAX_FEATURES,
        heat=_heat,
        accuracy_curve=accuracy_curve,
        curve_points=curve_points,
        interval_bar=interval_bar,
        training_curve=training_curve,
        hardening_rows=hardening_rows,
        hardening_verdicts=VERDICTS,
        proven_bar=proven_bar,
        proven_share=proven_share,
        environment=_environment_facts(assessment),
        predicate_json=_predicate_json,
    )


def render_index_html(entries: Sequence[IndexEntry]) -> str:
    """One page that links several reports and says whether each came out as expected."""
    return template("index.html.j2").render(entries=entries, safe_href=_safe_href, tones=_INDEX_TONES)


def _heat(predicate: CorruptionsPredicate | MissingValuesPredicate, one: Faulted) -> str:
    """How much of the quality a fault takes, 0 % to 100 %, as the strength of a colour; what raises has none."""
    if one.goodness is None:
        return "0%"
    clean, now = predicate.clean.value, one.goodness.value
    lost = (clean - now) / max(clean, 1e-12) if predicate.metric == "accuracy" else 1 - clean / max(now, 1e-12)
    return f"{100 * min(max(lost, 0.0), 1.0):.0f}%"


_INDEX_TONES = {
    "allow": ("ok", "✓", "allowed"),
    "clean": ("ok", "✓", "clean"),
    "deny": ("bad", "✗", "denied"),
    "malicious": ("bad", "✗", "malicious"),
    "suspicious": ("bad", "✗", "suspicious"),
    "needs-review": ("warn", "?", "needs review"),
    "incomplete": ("warn", "?", "incomplete"),
    "unsupported": ("warn", "?", "unsupported"),
    "better": ("ok", "✓", "better"),
    "no-better": ("bad", "✗", "not better"),
    "not-credited": ("warn", "?", "not credited"),
}


def _safe_href(href: str) -> str | None:
    """The address if it is relative or of a harmless scheme."""
    first = href.split("/", 1)[0]
    return href if href.startswith(_SCHEMES) or ":" not in first else None


def _environment_facts(assessment: Assessment) -> dict[str, tuple[str, ...]]:
    """Facts of the processes the checks ran in: name to the values that occurred."""
    facts: dict[str, dict[str, None]] = {}
    for run in assessment.runs:
        for name, value in run.environment.items():
            facts.setdefault(name, {})[value] = None
    return {name: tuple(facts[name]) for name in sorted(facts)}


def _predicate_json(entry: EvidenceEntry) -> "Markup":
    """The predicate as indented JSON, cut at a limit. Characters that could steer a reader's eye are escapes."""
    from markupsafe import escape

    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, sort_keys=True)
    text, cut = _beginning(encoder.iterencode(entry.predicate), _MAX_PREDICATE)
    shown = "\n".join(printable(line) for line in text.split("\n"))
    note = f"\n… cut here after {len(text):,} characters; report.json has the whole predicate" if cut else ""
    return escape(shown + note)


def _beginning(pieces: Iterable[str], limit: int) -> tuple[str, bool]:
    """At most `limit` characters, and whether there were more; what is not shown is not made either."""
    taken: list[str] = []
    length = 0
    for piece in pieces:
        taken.append(piece)
        length += len(piece)
        if length > limit:
            return "".join(taken)[:limit], True
    return "".join(taken), False


def _finalize(value: Any) -> Any:
    """Every value on its way into a page: markup of our own as it is, all else as plain printable text."""
    from markupsafe import Markup

    return value if isinstance(value, Markup) else _text.plain(str(value), 2000)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("heliotrope.report", "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(text=_text, words=_view)
    return environment


def template(name: str) -> "Template":
    """A template of this room; every value that enters it is escaped, and made plain unless it is our own markup."""
    return _environment().get_template(name)
