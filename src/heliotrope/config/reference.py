"""The reference page of heliotrope.yaml, written from its schema so that the two cannot differ.

`python -m heliotrope.config.reference` prints it.
"""

import json
import re
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from heliotrope.config._docs import field_docs, models_in
from heliotrope.config._errors import PATTERN_MEANINGS
from heliotrope.config.constraints import ConstraintsFile
from heliotrope.config.schema import HeliotropeConfig

__all__ = ["config_json_schema", "constraints_json_schema", "render_reference"]

_HEAD = """\
# heliotrope.yaml

Every key of version 1. This page is written from the schema by `python -m heliotrope.config.reference`; a test compares the two.

- Unknown and duplicate keys are errors, and so are tags, merge keys and a second document.
- Scalars follow YAML 1.2: `true` and `false` are the only truth values; `yes`, `012`, `1:30` and dates are text.
- Nothing is converted: a number in quotes is text, `1.0` is no whole number.
- Paths are relative to the file.
- Options come before environment variables (`HELIOTROPE_SUITE`, `HELIOTROPE_SEED`, `HELIOTROPE_SAMPLE`, `HELIOTROPE_LEDGER`,
  `HELIOTROPE_REPORT_DIR`), these before the file, and the file before the defaults.

| key | type | default | meaning |
|---|---|---|---|
"""

_SIMPLE = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "nothing"}
_BOUNDS = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}


def render_reference() -> str:
    """The page as Markdown: one row for each key, in the order of the schema."""
    rows = [
        f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in _rows(HeliotropeConfig, "")
    ]
    return _HEAD + "\n".join(rows) + "\n"


def config_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of heliotrope.yaml, with the meaning of every key, for editors."""
    return _described(HeliotropeConfig, "heliotrope.config/v1")


def constraints_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of constraints.yaml, with the meaning of every key, for editors."""
    return _described(ConstraintsFile, "heliotrope.constraints/v1")


def _described(root: type[BaseModel], identifier: str) -> dict[str, Any]:
    schema = root.model_json_schema(by_alias=True, mode="validation")
    models = {model.__name__: model for model in _all_models(root)}
    for name, described in [(root.__name__, schema), *schema.get("$defs", {}).items()]:
        docs = field_docs(models[name]) if name in models else {}
        for key, value in described.get("properties", {}).items():
            if docs.get(key):
                value["description"] = docs[key]
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": f"urn:heliotrope:schema:{identifier}", **schema}


def _all_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from _all_models(inner)


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    docs = field_docs(model)
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        annotation = field.annotation
        inner = _only_model(annotation)
        meaning = docs.get(name) or _class_meaning(inner)
        yield key, _cell(_type_of(annotation, field.metadata)), _cell(_default(field)), _cell(meaning)
        if inner is not None:
            origin = get_origin(annotation)
            joint = "[]." if origin is tuple else ".NAME." if origin is dict else "."
            yield from _rows(inner, f"{key}{joint}")


def _only_model(annotation: Any) -> type[BaseModel] | None:
    """The one model in an annotation, as in X | None or tuple[X, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, types.UnionType, tuple, dict, Annotated}:
        found = [model for argument in get_args(annotation) if (model := _only_model(argument)) is not None]
        return found[0] if len(found) == 1 else None
    return None


def _class_meaning(model: type[BaseModel] | None) -> str:
    return " ".join((model.__doc__ or "").split()) if model is not None else ""


def _type_of(annotation: Any, metadata: list[Any]) -> str:  # noqa: PLR0911 - one return for each kind of annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0], [*_flat(arguments[1:]), *metadata])
    if origin in {Union, types.UnionType}:
        return " or ".join(_type_of(item, metadata) for item in arguments if item is not type(None))
    if origin is Literal:
        return " or ".join(f"`{json.dumps(item) if not isinstance(item, str) else item}`" for item in arguments)
    if origin is tuple:
        return _list_type(arguments, metadata)
    if origin is dict:
        return f"mapping of {_type_of(arguments[0], [])} to {_type_of(arguments[1], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _constrained(_SIMPLE[annotation], metadata)


def _list_type(arguments: tuple[Any, ...], metadata: list[Any]) -> str:
    if Ellipsis not in arguments:
        return f"list of {len(arguments)}: " + ", ".join(_type_of(item, []) for item in arguments)
    sizes = {name: getattr(item, name) for item in _flat(metadata) for name in _SIZES if hasattr(item, name)}
    low, high = (sizes.get(name) for name in _SIZES)
    count = f" ({low} to {high})" if low is not None and high is not None else f" (at least {low})" if low else ""
    return f"list{count} of {_type_of(arguments[0], [])}"


_SIZES = ("min_length", "max_length")


def _constrained(kind: str, metadata: list[Any]) -> str:
    bounds = []
    for item in _flat(metadata):
        pattern = getattr(item, "pattern", None)
        if pattern is not None:
            return PATTERN_MEANINGS[pattern]
        bounds += [
            f"{sign}{getattr(item, name)}" for name, sign in _BOUNDS.items() if getattr(item, name, None) is not None
        ]
    return f"{kind} {', '.join(bounds)}" if bounds else kind


def _flat(metadata: Any) -> list[Any]:
    """Constraints; a Field inside Annotated carries its own list."""
    return [
        inner
        for item in metadata
        for inner in ([*item.metadata] if isinstance(item, FieldInfo) else [item])
        if inner is not None
    ]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ((), {}) or isinstance(value, BaseModel):
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render_reference())
