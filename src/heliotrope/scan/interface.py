"""The types analysers share: where bytes come from, what is noted about them, and what an analyser is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heliotrope.core.findings import Confidence
from heliotrope.scan.beside import Folder
from heliotrope.scan.limits import Budget, ScanLimits

__all__ = ["Analyser", "Context", "LimitReachedError", "Notes", "Recognised", "Source", "UnreadableError"]


class LimitReachedError(Exception):
    """A limit of ScanLimits was reached; what lies behind it was not analysed."""

    def __init__(self, limit: str, reason: str) -> None:
        super().__init__(reason)
        self.limit = limit
        self.reason = reason


class UnreadableError(Exception):
    """The bytes cannot be obtained: a compressed member is damaged, or the file cannot be read any more."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What some bytes are."""

    format: str
    """As in pickle, torch-zip, safetensors, gguf."""
    supported: bool = True
    """Whether it could be inspected; if not, the verdict is unsupported at best."""
    model: bool = True
    """Whether it may hold a model; inside a folder, other files are counted, not judged."""


class Source(Protocol):
    """Bytes with random access; reading forward is cheap, reading back may not be."""

    @property
    def size(self) -> int:
        """Bytes in all, as announced; a damaged member may give fewer."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end. Raises UnreadableError or LimitReachedError."""


class Notes(Protocol):
    """Collects what is found in one file."""

    def add(
        self,
        rule: str,
        message: str,
        *,
        key: str = "",
        global_name: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        confidence: Confidence = "high",
        count: int = 1,
        uses: frozenset[str] = frozenset(),
        fix: str = "",
    ) -> None:
        """Note a finding. The same rule with the same global or key is counted, not repeated.

        `uses` is what the file does with the global (call, new, build, items, append, add); empty where it is only imported.
        `fix` is advice on this one finding, beside that of its rule.
        """

    def incomplete(
        self,
        reason: str,
        *,
        limit: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        unsupported: bool = False,
    ) -> None:
        """Note that something was not analysed; `unsupported` when that is by design, as with an unknown compression."""

    def imported(self, name: str) -> None:
        """Note a global that a loader would import, as module.name, and that the policy lets pass."""


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds an analyser at one level of nesting."""

    notes: Notes
    limits: ScanLimits
    budget: Budget
    nested: "Callable[[Source, str, Context], Recognised | None]"
    """Analyse bytes found inside, under the given name, one level down; None when no analyser recognised them."""
    member: str | None = None
    """Path within the file, levels separated by "!"; None for the file itself."""
    base: int = 0
    """Offset of the source within its file or member, added to reported offsets."""
    depth: int = 0
    beside: Folder | None = None
    """The folder of the file; None for bytes without one."""
    named: bool = False
    """Whether the person named this very file, so that what lies beside it is not judged on its own."""

    def inside(self, name: str, *, base: int = 0) -> "Context":
        """The context one level down."""
        member = name if self.member is None else f"{self.member}!{name}"
        return Context(self.notes, self.limits, self.budget, self.nested, member, base, self.depth + 1)


class Analyser(Protocol):
    """Judges bytes of one family of formats. It executes, imports and unpickles nothing."""

    @property
    def format(self) -> str:
        """Its usual name, as in pickle; `analyse` may return a finer one."""

    def accepts(self, source: Source, name: str) -> bool:
        """Whether a loader of this format would take these bytes. The content decides; the name is a hint."""

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        """Note all that is to be said, and return what it is. Raises UnreadableError or LimitReachedError."""
