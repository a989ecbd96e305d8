"""Analysers of other packages beside our own: they can add to what a scan says, and take nothing away from it.

Each has findings, limits and a budget of its own, so that one that fills or exhausts them hides nothing that ours see. One
that raises or returns nonsense leaves the file incomplete: what it should have seen, nobody saw.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from heliotrope.core.findings import Confidence
from heliotrope.core.records import MAX_SAFE_INTEGER
from heliotrope.core.text import printable
from heliotrope.scan.collector import Collector
from heliotrope.scan.dispatch import ThirdParty, analyse_nested
from heliotrope.scan.interface import Analyser, Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.registry import AnalyserDescriptor, Enabled

__all__ = ["Guarded", "guard"]

_MAX_REASON = 200
"""Characters of what an exception says."""


def guard(enabled: Enabled, shown: str, limits: ScanLimits, size: int) -> tuple["Guarded", ...]:
    """The analysers that are on, made for one file of that many bytes."""
    guarded: list[Guarded] = []
    for descriptor in enabled.descriptors:
        guarded.append(Guarded(descriptor, shown, limits, size, guarded))
    return tuple(guarded)


class Guarded:
    """One analyser of another package on one file; never raises for what happens in there."""

    def __init__(
        self, descriptor: AnalyserDescriptor, shown: str, limits: ScanLimits, size: int, everyone: Sequence[ThirdParty]
    ) -> None:
        self._descriptor = descriptor
        self._limits = limits
        self._everyone = everyone
        self._budget = Budget.of(limits, size)
        self.notes = Collector(shown, limits, rules=descriptor.rules)
        self._analyser: Analyser | None = None
        try:
            self._analyser = descriptor.factory()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may fail in any way
            self._failed("could not be made", error)

    @property
    def refines(self) -> tuple[str, ...]:
        return self._descriptor.refines

    def accepts(self, source: Source, name: str) -> bool:
        if self._analyser is None:
            return False
        try:
            answer: Any = self._analyser.accepts(source, name)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._failed("failed to look", error)
            return False
        if not isinstance(answer, bool):
            self._nonsense(f"answered {type(answer).__name__} where yes or no was asked", None)
            return False
        return answer

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        unknown = Recognised(self._descriptor.formats[0])
        if self._analyser is None:
            return unknown
        inner = replace(
            context,
            notes=_Notes(self, self.notes),
            budget=self._budget,
            nested=partial(self._nested, depth=context.depth),
        )
        try:
            answer: Any = self._analyser.analyse(source, name, inner)
        except LimitReachedError as error:
            self.notes.incomplete(printable(error.reason), limit=printable(error.limit), member=context.member)
            return unknown
        except UnreadableError as error:
            self.notes.incomplete(printable(str(error)), member=context.member)
            return unknown
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._failed("failed", error, context.member)
            return unknown
        if not isinstance(answer, Recognised) or answer.format not in self._descriptor.formats:
            said = answer.format if isinstance(answer, Recognised) else type(answer).__name__
            self._nonsense(f"returned {str(said)[:60]!r}, which is none of its formats", context.member)
            return unknown
        return Recognised(answer.format, supported=answer.supported is True, model=answer.model is not False)

    def _nested(self, source: Source, name: str, context: Context, *, depth: int) -> Recognised | None:
        """What it found inside goes to every analyser; the findings are noted with its own."""
        inner = replace(
            context,
            notes=self.notes,
            limits=self._limits,
            budget=self._budget,
            nested=partial(analyse_nested, third_party=self._everyone),
            depth=max(context.depth, depth + 1),
        )
        return analyse_nested(source, name, inner, third_party=self._everyone)

    def _failed(self, what: str, error: BaseException, member: str | None = None) -> None:
        said = printable(str(error))[:_MAX_REASON]
        self.notes.incomplete(f"analyser {self._descriptor.id} {what}: {type(error).__name__}: {said}", member=member)

    def _nonsense(self, what: str, member: str | None) -> None:
        self.notes.incomplete(f"analyser {self._descriptor.id} {printable(what)}", member=member)


class _Notes:
    """Takes what an analyser notes if it makes sense; if not, the file is incomplete."""

    def __init__(self, owner: Guarded, notes: Collector) -> None:
        self._owner = owner
        self._notes = notes
        self._rules = frozenset(rule.id for rule in owner._descriptor.rules)  # noqa: SLF001 - two halves of one thing

    def imported(self, name: str) -> None:
        """What may be imported is for the analysers of this package alone to say."""

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
        del uses  # a person's allowances are about our own rules
        place = member if isinstance(member, str) else None
        if rule not in self._rules:
            self._owner._nonsense(f"notes the rule {str(rule)[:60]!r}, which it does not declare", place)  # noqa: SLF001
            return
        texts = (message, key, "" if global_name is None else global_name, "" if member is None else member, fix)
        if (
            not all(isinstance(text, str) for text in texts)
            or not _is_place(offset)
            or confidence not in get_args(Confidence)
            or not _is_count(count)
        ):
            self._owner._nonsense(f"notes {rule} with values that cannot be", place)  # noqa: SLF001
            return
        self._notes.add(
            rule,
            message,
            key=key,
            global_name=global_name,
            member=member,
            offset=offset,
            confidence=confidence,
            count=count,
            fix=fix,
        )

    def incomplete(
        self,
        reason: str,
        *,
        limit: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        unsupported: bool = False,
    ) -> None:
        texts: tuple[object, ...] = (limit, member)
        if not all(text is None or isinstance(text, str) for text in texts) or not _is_place(offset):
            limit = member = offset = None  # the reason counts all the same
        self._notes.incomplete(str(reason), limit=limit, member=member, offset=offset, unsupported=unsupported is True)


def _is_place(offset: object) -> bool:
    return offset is None or (type(offset) is int and 0 <= offset <= MAX_SAFE_INTEGER)


def _is_count(count: object) -> bool:
    return type(count) is int and 1 <= count <= MAX_SAFE_INTEGER
