"""Explanations as files: charts and sheets in SVG, the maps themselves in PNG, and a page that shows and links them all."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from heliotrope.core.assessments import Assessment
from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.explanations import (
    AttributionsPredicate,
    Comparison,
    SanityPredicate,
    ShortcutPredicate,
    TriggersPredicate,
)
from heliotrope.report._bars import Bar, bars, standalone
from heliotrope.report._html import template
from heliotrope.report._pictures import MAX_EXAMPLES, ReadBlob, picture
from heliotrope.report._sheets import Cell, sheet
from heliotrope.report._text import decimal, number, share
from heliotrope.report._view import View

__all__ = ["ExplanationFile", "explanation_files", "render_explanations"]

_MAX_BARS = 20
_MAX_FEATURES = 30


@dataclass(frozen=True, slots=True)
class ExplanationFile:
    """One picture."""

    name: str
    """Of the file: lower-case letters, digits, dots and hyphens, unlike any other of the same export."""
    title: str
    data: bytes


def render_explanations(assessment: Assessment, *, read_blob: ReadBlob, files: tuple[ExplanationFile, ...] = ()) -> str:
    """The sections on explanations as a page without script or outside request; `files` are linked by name."""
    return template("explain.html.j2").render(
        view=View(assessment),
        a=assessment,
        read_picture=lambda title, blob: picture(title, blob, read_blob),
        max_examples=MAX_EXAMPLES,
        max_features=_MAX_FEATURES,
        files=files,
    )


def explanation_files(assessment: Assessment, read_blob: ReadBlob) -> tuple[ExplanationFile, ...]:
    """Every picture of the evidence that explains; what cannot be read is left out of PNGs and named in sheets."""
    made: dict[str, ExplanationFile] = {}

    def add(stem: str, ending: str, title: str, data: bytes) -> str:
        name, count = stem, 1
        while f"{name}.{ending}" in made:
            count += 1
            name = f"{stem}-{count}"
        made[f"{name}.{ending}"] = ExplanationFile(f"{name}.{ending}", title, data)
        return name

    for stem, title, text, blobs in _drawn(View(assessment), read_blob):
        name = add(stem, "svg", title, text.encode())
        for part, blob in blobs:
            data = (
                read_blob(blob.sha256) if blob is not None and picture(part, blob, read_blob).uri is not None else None
            )
            if data is not None:
                add(f"{name}-{_slug(part)}", "png", f"{title}: {part}", data)
    return tuple(made.values())


Drawn = tuple[str, str, str, list[tuple[str, Blob | None]]]
"""Stem of the file's name, title, SVG, and the pictures in it by what they are."""


def _drawn(view: View, read_blob: ReadBlob) -> Iterator[Drawn]:
    for attributed in view.attributions:
        yield from _attributions(attributed.predicate, _model(view, attributed.entry.id), read_blob)
    for shortcut in view.shortcuts:
        yield _shortcut(shortcut.predicate, _model(view, shortcut.entry.id))
    for sanity in view.sanities:
        yield from _sanity(sanity.predicate, _model(view, sanity.entry.id), read_blob)
    for triggers in view.triggers:
        yield from _triggers(triggers.predicate, _model(view, triggers.entry.id), read_blob)
    for drift in view.drifts:
        for one in drift.predicate.comparisons:
            yield from _drift(one, _model(view, drift.entry.id), read_blob)


def _model(view: View, digest: str) -> str:
    run = view.run_of_evidence(digest)
    return next((one.name for one in view.assessment.subjects if run is not None and one.urn == run.subject), "model")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "x"


def _chart(model: str, what: str, title: str, rows: list[Bar], **named: str | float) -> Drawn:
    drawing = bars(rows[:_MAX_BARS], title=f"{model}: {title}", **named)  # type: ignore[arg-type]
    return f"{_slug(model)}-{what}", f"{model}: {title}", standalone(drawing), []


def _pictured(
    model: str,
    what: str,
    title: str,
    cells: list[tuple[list[tuple[str, str, Blob | None]], str, str]],
    read_blob: ReadBlob,
    *,
    columns: int,
) -> Iterator[Drawn]:
    """A sheet; each picture has a name of its own as a file, and a title in the sheet."""
    if not cells:
        return
    drawn = [
        Cell(tuple(picture(title, blob, read_blob) for _, title, blob in pictures), caption, note)
        for pictures, caption, note in cells
    ]
    parts = [(name, blob) for pictures, _, _ in cells for name, _, blob in pictures]
    drawing = standalone(sheet(drawn, title=f"{model}: {title}", columns=columns))
    yield f"{_slug(model)}-{what}", f"{model}: {title}", drawing, parts


def _attributions(found: AttributionsPredicate, model: str, read_blob: ReadBlob) -> Iterator[Drawn]:
    rows = [
        Bar(
            one.name,
            one.importance,
            number(one.importance),
            *((one.interval.low, one.interval.high) if one.interval else ()),
        )
        for one in found.features
    ]
    yield _chart(model, "attributions", f"mean absolute attribution ({found.method}, {found.score})", rows)
    classes = [([(f"class {one.name}", f"n = {one.n}", one.map)], one.name, "") for one in found.classes]
    yield from _pictured(model, "classes", "where it looks when it says each class", classes, read_blob, columns=5)
    samples = [
        (
            [
                (f"sample {one.index} original", "original", one.original),
                (f"sample {one.index} attribution", "attribution", one.attribution),
            ],
            f"{one.label_name} is recognised"
            if one.label_name == one.prediction_name
            else f"{one.label_name} is taken for {one.prediction_name}",
            f"sample {one.index}",
        )
        for one in found.examples
    ]
    yield from _pictured(model, "samples", "single samples, mistakes first", samples, read_blob, columns=3)


def _shortcut(found: ShortcutPredicate, model: str) -> Drawn:
    known = [one for one in found.ablations if one.skill_share is not None]
    rows = [Bar(one.name, max(one.skill_share or 0.0, 0.0), share(one.skill_share or 0.0)) for one in known]
    return _chart(
        model,
        "shortcut",
        "share of what the model knows that goes with one part",
        rows,
        mark=found.threshold,
        scale=1.0,
    )


def _sanity(found: SanityPredicate, model: str, read_blob: ReadBlob) -> Iterator[Drawn]:
    stages = [*found.cascade[:-1], *found.complete]
    rows = [
        Bar(
            f"all layers, draw {one.draw + 1}" if one.layers == found.layers else f"{one.layers} from the top",
            max(one.similarity, 0.0),
            decimal(one.similarity),
            *((one.interval.low, one.interval.high) if one.interval else ()),
        )
        for one in stages
        if one.similarity is not None
    ]
    yield _chart(model, "sanity", "rank correlation with random parameters", rows, mark=found.threshold, scale=1.0)
    cells = [
        (
            [
                (f"sample {one.index} original", "original", one.original),
                (f"sample {one.index} model", "the model", one.attribution),
                (f"sample {one.index} random", "all random", one.randomised),
            ],
            f"sample {one.index}",
            "",
        )
        for one in found.examples
    ]
    yield from _pictured(
        model, "sanity-samples", "the model and a copy that knows nothing", cells, read_blob, columns=2
    )


def _triggers(found: TriggersPredicate, model: str, read_blob: ReadBlob) -> Iterator[Drawn]:
    rows = [
        Bar(
            f"{one.name}: {one.region}",
            one.changed.value,
            share(one.changed.value),
            low=one.changed.interval.low if one.changed.interval else None,
            high=one.changed.interval.high if one.changed.interval else None,
            second=one.elsewhere.value,
        )
        for one in found.candidates
    ]
    named: dict[str, str | float] = {
        "first": "this region",
        "second": "strongest elsewhere",
        "mark": found.threshold,
        "scale": 1.0,
    }
    yield _chart(model, "triggers", "samples that a region turns into a class", rows, **named)
    cells = [
        (
            [
                (f"{one.name} {one.region} {place} before", "before", one.original),
                (f"{one.name} {one.region} {place} content", "content", one.patch),
                (f"{one.name} {one.region} {place} in place", "in place", one.example),
            ],
            f"{'hint: ' if one.hint else ''}{share(one.changed.value)} become {one.name}",
            one.region,
        )
        for place, one in enumerate(found.candidates[:6], start=1)
    ]
    yield from _pictured(model, "triggers-samples", "the strongest contents in place", cells, read_blob, columns=2)


def _drift(one: Comparison, model: str, read_blob: ReadBlob) -> Iterator[Drawn]:
    rows = [Bar(each.name, each.now, f"{each.delta:+.2f}", second=each.then) for each in one.features]
    than = one.than if one.kind == "version" else "earlier data"
    stem = f"drift-{one.kind}"
    yield _chart(model, stem, f"share of the decision against {than} (right: delta)", rows, first="now", second="then")
    cells = [
        (
            [
                (f"class {each.name} then", f"then, n = {each.n_then}", each.then),
                (f"class {each.name} now", f"now, n = {each.n}", each.now),
            ],
            each.name,
            "",
        )
        for each in one.maps
    ]
    yield from _pictured(model, f"{stem}-classes", f"then ({than}) and now", cells, read_blob, columns=3)
