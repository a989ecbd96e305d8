"""What one pickle stream imports and what is noted about it, until the stream proves to be one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from heliotrope.core.findings import Confidence
from heliotrope.scan.allowing import ALLOWABLE, snippet
from heliotrope.scan.interface import Context
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.pickles.arguments import CONDITIONS
from heliotrope.scan.pickles.replay import Dtype
from heliotrope.scan.policy import Entry

__all__ = ["STORAGE", "StreamNotes", "Use"]


@dataclass(slots=True)
class Use:
    """One imported global of a stream."""

    module: str
    name: str
    entry: Entry
    count: int = 0
    offsets: list[int] = field(default_factory=list)
    pushed: int = 0
    """How often it came onto the stack, by import or from the memo."""
    calls: int = 0
    acted: bool = False
    """It was called, or its use has been noted in another way."""
    begun: int = 0
    """Where the opcodes go on behind the object that was made of it last."""
    ways: set[str] = field(default_factory=set)
    """In which ways it was used, as the policy names them."""
    as_subclass: int = 0
    """How often it was the class of an array."""
    dtype: Dtype | None = None
    """Of one call of numpy.dtype, what it returned."""

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class _Pending:
    message: str
    global_name: str | None
    confidence: Confidence
    count: int = 0
    offsets: list[int] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)


class StreamNotes:
    """The imports of a stream and the notes about them; `commit` hands them over."""

    def __init__(self, limits: ScanLimits) -> None:
        self._limits = limits
        self._uses: list[Use] = []
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._defects: dict[str, int] = {}
        self._inner: Sequence[tuple[StreamNotes, bool]] = ()
        """Notes of pickles inside, and whether only what is dangerous counts."""

    def _note(
        self,
        rule: str,
        message: str,
        offset: int,
        use: Use | None = None,
        *,
        key: str = "",
        confidence: Confidence = "high",
        how: str = "",
    ) -> None:
        name = use.full_name if use is not None else None
        pending = self._pending.get((rule, name or key))
        if pending is None:
            room = 2 if rule in _HARMLESS else 20  # a flood of harmless things must not hide what harms
            if len(self._pending) > room * self._limits.max_findings:
                return
            pending = self._pending[rule, name or key] = _Pending(message, name, confidence)
        pending.count += 1
        if how:
            pending.uses.add(how)
        if use is not None and "." in use.name:
            pending.uses.add("dotted")  # reached through another object, so nobody can vouch for the name alone
        if len(pending.offsets) < self._limits.max_locations:
            pending.offsets.append(offset)

    def _note_references(self) -> None:
        """What was imported and nothing else."""
        for use in self._uses:
            if use.entry.shape in CONDITIONS and use.pushed > use.calls:
                message = f"refers to {use.full_name} without calling it, so how it will be called is unknown"
                self._note("pickle-unknown-state", message, use.offsets[0], use)
            if use.acted or use.entry.kind in ("allowed", "dotted") or use.pushed == use.as_subclass:
                continue
            rule, message = _REFERENCES[use.entry.kind]
            message = message.format(name=use.full_name, reason=use.entry.reason)
            for offset in use.offsets:
                self._note(rule, message, offset, use)
            pending = self._pending.get((rule, use.full_name))
            if pending is not None:
                pending.count = use.count

    def _note_archive_names(self) -> None:
        """Outside archives nothing says what their own classes are: a module of that name would be imported."""
        for use in self._uses:
            if use.module.partition(".")[0] == "__torch__":
                self._note("pickle-unknown-import", f"imports {use.full_name} outside an archive", use.offsets[0], use)

    def _ways(self) -> dict[str, set[str]]:
        """How each global is used, whatever it is written as."""
        ways: dict[str, set[str]] = defaultdict(set)
        for use in self._uses:
            ways[use.full_name] |= use.ways
        return ways

    @staticmethod
    def _fix(rule: str, name: str | None, ways: set[str]) -> str:
        """How to vouch for code that the policy does not know."""
        if rule not in _UNKNOWN_RULES or name is None:
            return ""
        if not ways <= ALLOWABLE:
            return ""
        return f"If you know this code and vouch for it, allow it in heliotrope.yaml:\n{snippet(name, ways)}"

    def commit(self, context: Context, *, only_dangerous: bool = False, persistent_ids_known: bool = False) -> None:
        """Hand everything over to the notes of the file."""
        self._note_references()
        in_archive = context.member is not None
        if not in_archive:
            self._note_archive_names()
        for used in self._uses:
            if used.entry.kind == "allowed" or used.pushed == used.as_subclass:
                context.notes.imported(used.full_name)
        ways = self._ways()
        for (rule, key), item in self._pending.items():
            if rule == "pickle-persistent-id" and (persistent_ids_known or (in_archive and key == STORAGE)):
                continue  # torch's ordinary way of naming what lies in another member
            if only_dangerous and rule not in _DANGEROUS_RULES:
                continue
            rest = item.count - len(item.offsets)
            fix = self._fix(rule, item.global_name, ways.get(item.global_name or "", set()))
            for place, offset in enumerate(item.offsets):
                context.notes.add(
                    rule,
                    item.message,
                    key=key,
                    global_name=item.global_name,
                    member=context.member,
                    offset=context.base + offset,
                    confidence=item.confidence,
                    count=1 + (rest if place == 0 else 0),
                    uses=frozenset(item.uses),
                    fix=fix,
                )
        for notes, besides in self._inner:
            notes.commit(context, only_dangerous=only_dangerous or besides, persistent_ids_known=persistent_ids_known)
        for reason, offset in self._defects.items():
            context.notes.incomplete(reason, member=context.member, offset=context.base + offset)


STORAGE = "storage"
"""The first word of torch's persistent ids of storages."""
_HARMLESS = frozenset({"pickle-framework-code", "pickle-persistent-id"})
"""Of severity info: a file can have as many of them as it likes, and they must not crowd out others."""
_REFERENCES = {
    "dangerous": ("pickle-dangerous-import", "refers to {name}, which {reason}"),
    "unknown": ("pickle-unknown-import", "imports {name}, which is not on the list of what models need"),
    "framework": ("pickle-unknown-import", "refers to {name}, code of a known framework that nobody has reviewed"),
}
_DANGEROUS_RULES = frozenset({"pickle-dangerous-call", "pickle-dangerous-import"})
_UNKNOWN_RULES = frozenset({"pickle-unknown-call", "pickle-unknown-import"})
