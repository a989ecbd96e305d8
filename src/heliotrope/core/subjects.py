"""What we protect, and the bytes it is made of."""

from typing import Literal

from heliotrope.core.records import Record, Sha256

__all__ = ["Artifact", "Subject", "SubjectKind", "subject_urn"]

SubjectKind = Literal["project", "model", "dataset", "package", "endpoint", "pipeline", "notebook"]


class Artifact(Record):
    """Immutable bytes of one subject version."""

    path: str
    """Where it was found: relative to the project with forward slashes, or absolute when outside."""
    sha256: Sha256
    size: int
    """Bytes."""
    media_type: str = "application/octet-stream"


class Subject(Record):
    """A thing we protect, with a name that stays the same from version to version."""

    urn: str
    kind: SubjectKind
    name: str
    artifacts: tuple[Artifact, ...] = ()


def subject_urn(project: str, kind: SubjectKind, name: str) -> str:
    """The stable name of a subject, as in urn:heliotrope:digits:model:classifier. It is the lineage of its versions."""
    return f"urn:heliotrope:{project}:{kind}:{name}"
