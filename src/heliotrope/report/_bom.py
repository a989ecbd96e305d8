"""A bill of materials in CycloneDX 1.7 (ECMA-424), written directly: models, data, packages and how they hang together.

Every field says where it comes from, and what is not known is said, not guessed.
"""

from typing import Any
from urllib.parse import quote

from heliotrope.core.measurements import Measurement
from heliotrope.report._bom_facts import BomData, BomFacts, BomModel
from heliotrope.report._bom_packages import PackageGraph, package_graph
from heliotrope.report._bom_parts import (
    Basis,
    basis,
    evidence_references,
    file_components,
    properties,
    text,
    without_empty,
)
from heliotrope.report._json import dump
from heliotrope.report._text import condition_text

__all__ = ["render_bom"]

_PROJECT = "project"


def render_bom(facts: BomFacts, *, serial: str, moment: str) -> str:
    """The document as JSON. `serial` is a UUID, `moment` an RFC 3339 time: equal facts give equal documents."""
    graph = package_graph(facts.dependencies)
    data = {item.name: f"data:{_escaped(item.name)}" for item in facts.data}
    models = {_model_ref(model): model for model in facts.models}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": _metadata(facts, moment),
        "components": [
            *(_model(model, ref, data) for ref, model in models.items()),
            *(_data(item, data[item.name]) for item in facts.data),
            *graph.components,
        ],
        "dependencies": _dependencies(facts, graph, models, data),
        "compositions": _compositions(facts, graph),
    }
    return dump(document)


def _metadata(facts: BomFacts, moment: str) -> dict[str, Any]:
    assessment = facts.assessment
    told = [("missing", sentence) for sentence in facts.missing]
    known: list[tuple[str, str | None]] = [("tree-sha256", facts.tree)]
    fields: dict[str, Basis] = {"name": "declared"}
    if facts.tree is not None:
        fields["tree-sha256"] = "observed"
    if assessment is not None:
        known += [
            ("assessment", assessment.id),
            ("assessment-finished", assessment.finished_at),
            ("verdict", assessment.verdict),
            ("ledger-head", assessment.ledger_head),
        ]
        fields["verdict"] = "derived"
    component = without_empty(
        {
            "type": "application",
            "bom-ref": _PROJECT,
            "name": text(facts.project),
            "externalReferences": evidence_references(facts.evidence),
            "properties": properties([*known, *basis(fields)]),
        }
    )
    tool = {
        "type": "application",
        "name": "heliotrope",
        "version": text(facts.tool_version),
        "publisher": "The Heliotrope authors",
    }
    return without_empty(
        {
            "timestamp": moment,
            "tools": {"components": [tool]},
            "component": component,
            "properties": properties(told),
        }
    )


def _model_ref(model: BomModel) -> str:
    return f"{'model' if model.declared else 'model-file'}:{_escaped(model.name)}"


def _escaped(name: str) -> str:
    """Different for different names, and plain ASCII."""
    return quote(name.encode("utf-8", "surrogatepass"), safe="/")


def _model(model: BomModel, ref: str, data: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Basis] = {"name": "declared" if model.declared else "observed"}
    if model.files:
        fields["hashes"] = "observed"
    if model.format is not None:
        fields["format"] = "declared"
    return without_empty(
        {
            "type": "machine-learning-model",
            "bom-ref": ref,
            "name": text(model.name),
            **file_components(model.files, ref),
            "externalReferences": evidence_references(model.evidence),
            "modelCard": _model_card(model, ref, data) if model.declared else None,
            "properties": properties([("format", model.format), *_file_facts(model), *basis(fields)]),
        }
    )


def _file_facts(item: BomModel | BomData) -> list[tuple[str, str | None]]:
    path = item.files[0].path if len(item.files) == 1 else None
    count = str(len(item.files)) if len(item.files) != 1 else None
    size = str(sum(file.size for file in item.files)) if item.files else None
    return [("path", path), ("files", count), ("size", size), ("tree-sha256", item.tree)]


def _model_card(model: BomModel, ref: str, data: dict[str, str]) -> dict[str, Any]:
    """What is declared of the model and what was measured. Considerations are people's to write and are left out."""
    fields: dict[str, Basis] = {}
    parameters = without_empty(
        {
            "task": text(model.task) if model.task else None,
            "datasets": [{"ref": ref_} for ref_ in dict.fromkeys(data[name] for _, name in model.data)],
            "inputs": [{"format": text(item)} for item in model.inputs],
            "outputs": [{"format": text(item)} for item in model.outputs],
        }
    )
    for name in parameters:
        fields[f"modelParameters.{name}"] = "declared"
    metrics = [_metric(item) for item in model.measurements]
    if metrics:
        fields["quantitativeAnalysis.performanceMetrics"] = "observed"
    undefined = [
        (f"undefined:{item.metric}", item.undefined_reason) for item in model.measurements if item.value is None
    ]
    return without_empty(
        {
            "bom-ref": f"{ref}/model-card",
            "modelParameters": parameters,
            "quantitativeAnalysis": without_empty({"performanceMetrics": metrics}),
            "properties": properties(
                [*((f"data:{role}", data[name]) for role, name in model.data), *undefined, *basis(fields)]
            ),
        }
    )


def _metric(measurement: Measurement) -> dict[str, Any]:
    """One measurement; `slice` says what it holds for: the attack's conditions, the number of samples, the confidence."""
    parts = [condition_text(measurement), f"n {measurement.n}"]
    interval = measurement.interval
    bounds = None
    if interval is not None:
        bounds = {"lowerBound": _number(interval.low), "upperBound": _number(interval.high)}
        parts.append(f"{interval.confidence * 100:g} % interval, {interval.method}")
    if measurement.unit != "1":
        parts.append(f"unit {measurement.unit}")
    return without_empty(
        {
            "type": text(measurement.metric),
            "value": _number(measurement.value) if measurement.value is not None else "undefined",
            "slice": text(", ".join(part for part in parts if part)),
            "confidenceInterval": bounds,
        }
    )


def _number(value: float) -> str:
    return repr(value)


def _data(item: BomData, ref: str) -> dict[str, Any]:
    fields: dict[str, Basis] = {"name": "declared" if item.declared else "observed"}
    if item.files:
        fields["hashes"] = "observed"
    return without_empty(
        {
            "type": "data",
            "bom-ref": ref,
            "name": text(item.name),
            **file_components(item.files, ref),
            "data": [{"type": "dataset", "name": text(item.name)}],
            "properties": properties([*_file_facts(item), *basis(fields)]),
        }
    )


def _dependencies(
    facts: BomFacts, graph: PackageGraph, models: dict[str, BomModel], data: dict[str, str]
) -> list[dict[str, Any]]:
    """Project to models and packages, models to their data, packages to packages."""
    used = {name for model in facts.models for _, name in model.data}
    loose = [data[item.name] for item in facts.data if item.name not in used]
    edges: dict[str, list[str]] = {_PROJECT: [*models, *loose, *graph.direct]}
    for ref, model in models.items():
        edges[ref] = [data[name] for _, name in model.data]
    for ref in data.values():
        edges[ref] = []
    edges |= {ref: list(targets) for ref, targets in graph.edges.items()}
    return [without_empty({"ref": ref, "dependsOn": sorted(dict.fromkeys(targets))}) for ref, targets in edges.items()]


def _compositions(facts: BomFacts, graph: PackageGraph) -> list[dict[str, Any]]:
    """What is known to be whole, and what nobody said."""
    found: list[dict[str, Any]] = [
        {"aggregate": "complete" if facts.complete else "incomplete", "assemblies": [_PROJECT]}
    ]
    if graph.without_edges:
        found.append({"aggregate": "unknown", "dependencies": list(graph.without_edges)})
    return found
