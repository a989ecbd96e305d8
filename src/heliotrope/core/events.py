"""The journal entry of every append, in the shape of a CloudEvent.

Source: CloudEvents 1.0.2, JSON event format (https://github.com/cloudevents/spec).
"""

from typing import Literal

from heliotrope.core.records import Record, Sha256

__all__ = ["Appendage", "Event", "event_source", "event_type"]


class Appendage(Record):
    """What was appended, and the hash of the event before."""

    sequence: int
    """1 for the first record of a ledger; no gaps."""
    kind: str
    content_id: Sha256
    size: int
    """Bytes of the canonical content."""
    keys: tuple[tuple[str, str], ...]
    """The look-up keys, sorted: part of what is hashed, so that an index cannot lie undetected."""
    previous: Sha256


class Event(Record):
    """One append. `time` and `id` are the record's; the content is addressed by `content_id`."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    """Record id, a ULID."""
    source: str
    type: str
    time: str
    """RFC 3339 in UTC."""
    datacontenttype: Literal["application/json"] = "application/json"
    data: Appendage

    @property
    def sequence(self) -> int:
        return self.data.sequence

    @property
    def kind(self) -> str:
        return self.data.kind

    @property
    def content_id(self) -> Sha256:
        return self.data.content_id

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        return self.data.keys


def event_source(ledger_id: str) -> str:
    """The URN of a ledger. It stands in every event, so that none can move to another ledger."""
    return f"urn:heliotrope:ledger:{ledger_id}"


def event_type(kind: str) -> str:
    """As in heliotrope.evidence.recorded."""
    return f"heliotrope.{kind}.recorded"
