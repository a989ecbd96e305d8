"""JSON Schemas of the published documents, generated from the models that write them."""

from typing import Any

from heliotrope.core.assessments import ASSESSMENT_SCHEMA, Assessment
from heliotrope.core.predicates.scan import SCAN_SCHEMA, ScanDocument
from heliotrope.core.records import Record

__all__ = ["json_schemas", "schema_of"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, type[Record]] = {SCAN_SCHEMA: ScanDocument, ASSESSMENT_SCHEMA: Assessment}


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (draft 2020-12) by the `schema` value of the document it describes."""
    return {name: schema_of(name, model) for name, model in _MODELS.items()}


def schema_of(name: str, model: type[Record]) -> dict[str, Any]:
    """The JSON Schema of one document, under the name that it carries in `schema`."""
    generated = model.model_json_schema(by_alias=True, mode="serialization")
    required = sorted({"schema", *generated.get("required", ())})
    return {"$schema": _DIALECT, "$id": f"urn:heliotrope:schema:{name}", **generated, "required": required}
