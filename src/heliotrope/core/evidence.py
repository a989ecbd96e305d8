"""Evidence: what was observed about which bytes, in the shape of an in-toto Statement v1.

Source: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1).
"""

from typing import Any, Literal

from pydantic import Field

from heliotrope.core.records import Record, Sha256

__all__ = ["Blob", "DigestSet", "ResourceDescriptor", "Statement", "statement"]


class DigestSet(Record):
    """Digests of one resource; SHA-256 is the identity."""

    sha256: Sha256


class ResourceDescriptor(Record):
    """A named resource with its digest."""

    name: str
    digest: DigestSet


class Statement(Record):
    """A predicate about subjects, unsigned. Its content id is the evidence id."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[ResourceDescriptor, ...]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]


class Blob(Record):
    """Bytes kept beside the ledger under their digest: pictures, samples, logs."""

    sha256: Sha256
    size: int
    media_type: str


def statement(subjects: dict[str, str], predicate_type: str, predicate: Record) -> Statement:
    """A statement of `predicate` about `subjects`, a mapping of name to SHA-256."""
    return Statement(
        subject=tuple(
            ResourceDescriptor(name=name, digest=DigestSet(sha256=digest)) for name, digest in sorted(subjects.items())
        ),
        predicate_type=predicate_type,
        predicate=predicate.document(),
    )
