"""JSON: the result itself."""

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from heliotrope.core.records import Record

__all__ = ["dump", "render_json"]


def render_json(document: Record) -> str:
    """The document as indented JSON with a final newline; ASCII only, so that no name can steer a terminal."""
    try:
        text = document.model_dump_json(by_alias=True, indent=2, ensure_ascii=True)
    except PydanticSerializationError:  # lone surrogates, which no record in a ledger has
        return dump(document.document())
    return text.replace("\x7f", "\\u007f") + "\n"


def dump(data: dict[str, Any]) -> str:
    """Indented ASCII JSON. DEL is legal in JSON strings and escaped all the same."""
    json.dumps(
        data, allow_nan=False
    )  # ValueError for what is no number; to_json would write it, and is the faster to indent
    try:
        text = to_json(data, indent=2, ensure_ascii=True).decode("ascii")
    except PydanticSerializationError:  # as above
        text = json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f") + "\n"
