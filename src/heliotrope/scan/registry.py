"""Analysers of other packages: how they are registered, and which of them are on.

None is on unless the person names it, by --analyser or in heliotrope.yaml or a policy: what a scan says of bytes must not
depend on what happens to be installed. Those that are on are part of the policy digest, by id and version.
"""

import importlib.util
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from heliotrope.core.errors import ConfigError
from heliotrope.core.findings import SEVERITIES, Rule
from heliotrope.core.taxonomy import TAXONOMY
from heliotrope.core.text import counted, printable
from heliotrope.scan.interface import Analyser

__all__ = ["NONE", "AnalyserDescriptor", "Enabled", "analyser", "analysers", "enable"]

_KIND = "analyser"
_ID = re.compile(r"[a-z][a-z0-9-]{0,49}(\.[a-z][a-z0-9-]{0,49}){1,2}")
_RULE_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_FORMAT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_EXTENSION = re.compile(r"\.[a-z0-9_.-]{1,20}")

A = TypeVar("A", bound=Callable[[], Any])


@dataclass(frozen=True, slots=True)
class AnalyserDescriptor:
    """What is known of an analyser without making it."""

    id: str
    """Dotted, lower case, the first part a name of the package's own, as in scorecard.formulas."""
    version: str
    """Raised with every change of what it finds: it is part of the policy digest, and evidence is reused by it."""
    title: str
    formats: tuple[str, ...]
    """Every name it may give to a format; the first is its usual one."""
    extensions: tuple[str, ...]
    """Endings of names of which a file is judged inside a folder even when its content is not recognised."""
    refines: tuple[str, ...]
    """Formats its own are built on, as in zip: such a file is not two formats at once."""
    rules: tuple[Rule, ...]
    docs: str
    """An address, or a page of the package."""
    extra: str
    """What to install when `modules` are missing, as pip takes it."""
    modules: tuple[str, ...]
    module: str
    """Which module registered it."""
    factory: Callable[[], Analyser]

    @property
    def absent(self) -> tuple[str, ...]:
        """Modules it needs that are not installed."""
        return tuple(name for name in self.modules if importlib.util.find_spec(name) is None)


@dataclass(frozen=True, slots=True)
class Enabled:
    """The third-party analysers of one scan."""

    descriptors: tuple[AnalyserDescriptor, ...] = ()

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(id, version) of each, by id."""
        return tuple((item.id, item.version) for item in self.descriptors)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule for item in self.descriptors for rule in item.rules)

    @property
    def extensions(self) -> frozenset[str]:
        return frozenset(extension for item in self.descriptors for extension in item.extensions)


NONE = Enabled()
"""No third-party analyser: the default."""


def analyser(
    *,
    id: str,  # noqa: A002 - the field's name everywhere
    version: str,
    title: str,
    formats: tuple[str, ...],
    docs: str,
    rules: tuple[Rule, ...] = (),
    extensions: tuple[str, ...] = (),
    refines: tuple[str, ...] = (),
    modules: tuple[str, ...] = (),
    extra: str = "",
) -> Callable[[A], A]:
    """Register a class, or a function without arguments, that makes an Analyser. It stays off until it is named.

    Raises ValueError for a descriptor that cannot be used; the plug-in is then shown as unavailable, with the reason.
    """
    from heliotrope.engine.registry import register_extension

    def register(factory: A) -> A:
        module = factory.__module__
        descriptor = AnalyserDescriptor(
            id, version, title, formats, extensions, refines, rules, docs, extra, modules, module, factory
        )
        _require_usable(descriptor)
        register_extension(_KIND, id, descriptor, module=module)
        return factory

    return register


def analysers() -> tuple[AnalyserDescriptor, ...]:
    """Every registered one, on or off, by id."""
    from heliotrope.engine.registry import registered_extensions

    return tuple(registered_extensions(_KIND).values())


def enable(ids: Iterable[str]) -> Enabled:
    """The analysers of those ids. ConfigError for one that is not there: a scan without it would be another scan."""
    wanted = sorted(set(ids))
    if not wanted:
        return NONE
    from heliotrope.engine.registry import registered_extensions

    known = registered_extensions(_KIND)
    for name in wanted:
        if name not in known:
            raise ConfigError(f"there is no analyser {printable(name)!r}", hint=_what_there_is(known))
        absent = known[name].absent
        if absent:
            advice = f"pip install '{known[name].extra}'" if known[name].extra else f"install {', '.join(absent)}"
            raise ConfigError(
                f"analyser {name} cannot be used: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
                hint=advice,
            )
    return Enabled(tuple(known[name] for name in wanted))


def _what_there_is(known: dict[str, AnalyserDescriptor]) -> str:
    from heliotrope.engine.registry import unavailable

    installed = f"installed: {', '.join(known)}" if known else "none is installed"
    broken = unavailable()
    more = f"; {counted(len(broken), 'plug-in')} cannot be loaded" if broken else ""
    return f"{installed}{more}; see helio plugins"


def _require_usable(descriptor: AnalyserDescriptor) -> None:
    _require(_ID.fullmatch(descriptor.id), f"analyser id {descriptor.id!r} is not dotted lower case, as in mine.format")
    _require(_VERSION.fullmatch(descriptor.version), f"analyser {descriptor.id}: version {descriptor.version!r}")
    _require(descriptor.title and descriptor.docs, f"analyser {descriptor.id}: title and docs must say something")
    _require(
        descriptor.formats and all(_FORMAT.fullmatch(name) for name in (*descriptor.formats, *descriptor.refines)),
        f"analyser {descriptor.id}: formats are names of lower-case letters, digits and dashes, at least one",
    )
    _require(
        all(_EXTENSION.fullmatch(name) for name in descriptor.extensions),
        f"analyser {descriptor.id}: extensions are written as in .abc",
    )
    from heliotrope.scan.rules import RULES

    owners = {rule.id: "Heliotrope" for rule in RULES}
    owners |= {rule.id: other.id for other in _others(descriptor.id) for rule in other.rules}
    for rule in descriptor.rules:
        _require(_RULE_ID.fullmatch(rule.id), f"rule {rule.id!r} is not written as in mine-bad-header")
        _require(rule.id not in owners, f"rule {rule.id} belongs to {owners.get(rule.id)}")
        _require(rule.severity in SEVERITIES and rule.title and rule.help, f"rule {rule.id} does not say what it means")
        unknown = [name for name in rule.taxonomy if name not in TAXONOMY]
        _require(not unknown, f"rule {rule.id} names {', '.join(unknown)}, which is not in the catalogue")
        owners[rule.id] = descriptor.id


def _others(analyser_id: str) -> list[AnalyserDescriptor]:
    from heliotrope.engine.registry import extensions_so_far

    return [item for item in extensions_so_far(_KIND).values() if item.id != analyser_id]


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)
