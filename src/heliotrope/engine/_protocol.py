"""The lines that parent and worker exchange: one JSON object each, never a pickle."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from heliotrope.core.evidence import Blob
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Limits, Task

__all__ = ["MAX_LINE_BYTES", "Hello", "Message", "Progress", "Request", "Result", "Setup", "Stored", "decode", "encode"]

MAX_LINE_BYTES = 64 * 2**20
"""A result line longer than this is a broken or hostile worker; ordinary results are below 1 MiB."""


class Setup(Record):
    """Parent to worker, first: what holds for the process."""

    network: bool = False
    """Whether it may reach the network; only with consent."""
    hidden: tuple[str, ...] = ()
    """Python packages that are not found in it, though they are installed."""


class Request(Record):
    """Parent to worker: a run to do. A worker gets one after the other."""

    run: str
    """Drawn at random for this run; whatever is said of it carries it, so that nothing is taken for another's."""
    check: str
    task: Task
    limits: Limits
    workdir: str
    libraries: tuple[str, ...] | None = None
    """Modules whose versions the run is reported with; None: of whatever the process has loaded."""


class Hello(Record):
    """Worker to parent, first of a run: the facts of its process."""

    type: Literal["hello"] = "hello"
    run: str
    environment: dict[str, str]


class Progress(Record):
    """How far it is."""

    type: Literal["progress"] = "progress"
    run: str
    done: float
    total: float
    text: str = ""


class Stored(Record):
    """A blob lies in the staging folder under its digest."""

    type: Literal["stored"] = "stored"
    run: str
    blob: Blob


class Result(Record):
    """The end of a run that returned."""

    type: Literal["result"] = "result"
    run: str
    result: CheckResult
    environment: dict[str, str]
    """Versions of libraries."""
    cpu_seconds: float
    """Of the process and its collected children, since it started."""
    peak_memory_bytes: int
    """Resident at most during the run; since the process started where the system cannot forget its peak."""
    again: bool
    """Whether it can take another run: nothing of this one goes on in it."""


Message = Annotated[Hello | Progress | Stored | Result, Field(discriminator="type")]

_messages: TypeAdapter[Hello | Progress | Stored | Result] = TypeAdapter(Message)


def encode(message: Record) -> bytes:
    return message.model_dump_json(by_alias=True).encode() + b"\n"


def decode(line: bytes) -> Hello | Progress | Stored | Result:
    """Raise ValueError when the line is no message of ours."""
    return _messages.validate_json(line)
