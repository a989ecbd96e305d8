"""The lines that parent and worker exchange: one JSON object each, never a pickle."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from heliotrope.core.evidence import Blob
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Limits, Task

__all__ = ["MAX_LINE_BYTES", "Hello", "Message", "Progress", "Request", "Result", "Stored", "decode", "encode"]

MAX_LINE_BYTES = 64 * 2**20
"""A result line longer than this is a broken or hostile worker; ordinary results are below 1 MiB."""


class Request(Record):
    """Parent to worker: what to do."""

    check: str
    task: Task
    limits: Limits
    workdir: str
    network: bool = False
    """Whether the run may reach the network; only with consent."""


class Hello(Record):
    """Worker to parent, first: the facts of its process."""

    type: Literal["hello"] = "hello"
    environment: dict[str, str]


class Progress(Record):
    """How far it is."""

    type: Literal["progress"] = "progress"
    done: float
    total: float
    text: str = ""


class Stored(Record):
    """A blob lies in the staging folder under its digest."""

    type: Literal["stored"] = "stored"
    blob: Blob


class Result(Record):
    """The end of a run that returned."""

    type: Literal["result"] = "result"
    result: CheckResult
    environment: dict[str, str]
    """Versions of the libraries that were loaded."""


Message = Annotated[Hello | Progress | Stored | Result, Field(discriminator="type")]

_messages: TypeAdapter[Hello | Progress | Stored | Result] = TypeAdapter(Message)


def encode(message: Record) -> bytes:
    return message.model_dump_json(by_alias=True).encode() + b"\n"


def decode(line: bytes) -> Hello | Progress | Stored | Result:
    """Raise ValueError when the line is no message of ours."""
    return _messages.validate_json(line)
