"""The base of everything stored or exchanged, and how its content is addressed."""

import hashlib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from heliotrope.core.canonical import MAX_SAFE_INTEGER, canonical

__all__ = ["MAX_SAFE_INTEGER", "Record", "Sha256", "canonical_bytes", "content_id", "sha256_hex"]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal."""


class Record(BaseModel):
    """A frozen value; unknown fields and non-finite numbers are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        serialize_by_alias=True,
        defer_build=True,  # a command pays only for the types that it uses
    )

    def document(self) -> dict[str, Any]:
        """The record as JSON-ready data, with aliases."""
        return self.model_dump(mode="json", by_alias=True)


def canonical_bytes(content: Record | dict[str, Any]) -> bytes:
    """RFC 8785 canonical JSON of a record or of JSON-ready data."""
    data = content.document() if isinstance(content, Record) else content
    return canonical(data)


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_id(content: Record | dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of the content: equal content has an equal id, everywhere and always."""
    return sha256_hex(canonical_bytes(content))
