"""The shipped policy: which imports a pickle may make, and in which way. Nothing installed is ever consulted."""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Literal

__all__ = [
    "Entry",
    "Policy",
    "TargetNames",
    "allowed_documents",
    "policy_digest",
    "shipped_policy",
    "target_names",
    "tensorflow_operators",
]

_PICKLES = ("dangerous.json", "python2.json")
_FILES = (*_PICKLES, "targets.json", "tensorflow_operators.txt", "torch_graphs.json")

Kind = Literal["dangerous", "dotted", "allowed", "framework", "unknown"]
"""`framework`: a name of a known framework that nobody reviewed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the policy says about one global."""

    kind: Kind
    uses: frozenset[str] = frozenset()
    """Of an allowed one: call (REDUCE, INST, OBJ), new (NEWOBJ), made (by a function that gets the class), build (BUILD),
    items (SETITEM), append (APPEND), add (ADDITEMS). None: reference."""
    shape: str = ""
    """A condition on the arguments of a call."""
    takes: str = ""
    """Which objects a call takes beside plain values: storage (what a persistent id stands for), any (allowed ones)."""
    value: bool = False
    """What a call returns is a plain value: it has no methods or attributes of the file's choosing."""
    slots: bool = False
    """Its state may be a pair of dictionaries, the second of which is set attribute by attribute."""
    tuple: bool = False
    """Its state may be a tuple of any length."""
    code: bool = False
    """Rebuilding it runs code of the framework."""
    reason: str = ""
    """Of a dangerous one: what it does."""
    framework: str = ""


_UNKNOWN = Entry("unknown")


@dataclass(frozen=True, slots=True)
class _Below:
    pattern: re.Pattern[str]
    entry: Entry


@cache
def _documents() -> dict[str, bytes]:
    folder = resources.files("heliotrope.scan") / "data"
    allowed = {f"allowed/{item.name}": item.read_bytes() for item in (folder / "allowed").iterdir()}
    return {name: (folder / name).read_bytes() for name in _FILES} | allowed


@cache
def policy_digest(analysers: tuple[tuple[str, str], ...] = ()) -> str:
    """SHA-256 over the shipped policy data; part of every result.

    (id, version) of third-party analysers that are on make another policy of it.
    """
    digest = hashlib.sha256()
    for name, data in sorted(_documents().items()):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    for analyser_id, version in sorted(analysers):
        digest.update(f"analyser\0{analyser_id}\0{version}\0".encode())
    return digest.hexdigest()


def allowed_documents() -> list[dict[str, Any]]:
    """The allowlists as they are written, one for each framework."""
    return [json.loads(data) for name, data in sorted(_documents().items()) if name.startswith("allowed/")]


@cache
def shipped_policy() -> "Policy":
    dangerous, python2 = (json.loads(_documents()[name]) for name in _PICKLES)
    return Policy(allowed_documents(), dangerous, python2)


@dataclass(frozen=True, slots=True)
class TargetNames:
    """Names that configurations ask to be imported and called; data/targets.json says what each list is for."""

    packages: frozenset[str]
    ordinary: frozenset[str]
    lookups: frozenset[str]
    acting: frozenset[str]
    pure: frozenset[str]
    inside: frozenset[str]


@cache
def target_names() -> TargetNames:
    lists = json.loads(_documents()["targets.json"])
    return TargetNames(**{item.name: frozenset(lists[item.name].split()) for item in fields(TargetNames)})


@cache
def tensorflow_operators() -> frozenset[str]:
    """The operators that TensorFlow registers."""
    return frozenset(_documents()["tensorflow_operators.txt"].decode("ascii").split())


class Policy:
    """Answers what a global is, from the most to the least specific statement about it."""

    def __init__(self, allowed: list[dict[str, Any]], dangerous: dict[str, Any], python2: dict[str, Any]) -> None:
        self._exact: dict[tuple[str, str], Entry] = {}
        self._below: dict[str, list[_Below]] = {}
        self.attributes: set[str] = set()
        """Methods that getattr may reach, as module.class.method."""
        self.codecs: set[str] = set()
        roots: set[str] = set()
        for document in allowed:
            roots.update(document["roots"].split())
            self.codecs.update(document.get("codecs", "").split())
            for attribute in document.get("attributes", "").split():
                module, class_name, name = attribute.rsplit(".", 2)
                self.attributes.add(attribute)
                self._exact[module, f"{class_name}.{name}"] = Entry("allowed", framework=document["framework"])
            for item in document["entries"]:
                if not _reviewed(item, document):
                    continue
                entry = _allowed(item, document["framework"])
                names = item["names"].split()
                self._exact.update({(module, name): entry for module in item["in"].split() for name in names})
            for item in document.get("patterns", ()):
                if _reviewed(item, document):
                    below = _Below(re.compile(item["match"]), _allowed(item, document["framework"]))
                    self._below.setdefault(item["in"], []).append(below)
        self._frameworks = frozenset(roots)
        self._known_roots = frozenset(module.partition(".")[0] for module, _ in self._exact)
        self._dangerous_names = {
            (module, name): Entry("dangerous", reason=reason)
            for reason, modules in dangerous["names"].items()
            for module, names in modules.items()
            for name in names.split()
        }
        self.dangerous_modules = {
            module: Entry("dangerous", reason=reason)
            for reason, modules in dangerous["modules"].items()
            for module in modules.split()
        }
        self._modules_in_modules = frozenset(dangerous["modules_in_modules"].split())
        self._python2_modules: dict[str, str] = python2["modules"]
        self._python2_names: dict[str, str] = python2["names"]

    def python3_name(self, module: str, name: str) -> tuple[str, str]:
        """What Python 3 makes of a name written by Python 2 (protocols 0 to 2)."""
        renamed = self._python2_names.get(f"{module}.{name}")
        if renamed is not None:
            new_module, _, new_name = renamed.rpartition(".")
            return new_module, new_name
        return self._python2_modules.get(module, module), name

    def lookup(self, module: str, name: str) -> Entry:
        """What the policy says about `name` of `module`."""
        exact = self._exact.get((module, name)) or self._dangerous_names.get((module, name))
        if exact is not None:
            return exact
        if "." in name:
            return self._lookup_dotted(module, name)
        return self._lookup_plain(module, name)

    def _lookup_plain(self, module: str, name: str) -> Entry:
        prefixes = _prefixes(module)
        for prefix in prefixes:
            if prefix in self.dangerous_modules:
                return self.dangerous_modules[prefix]
        for prefix in prefixes:
            for below in self._below.get(prefix, ()):
                if below.pattern.fullmatch(name):
                    return below.entry
        if prefixes[-1] not in self._frameworks:
            return _UNKNOWN
        if name in self._modules_in_modules:  # `from torch.serialization import os` is os
            return Entry("dangerous", reason="is a module that another one imports")
        return Entry("framework", framework=prefixes[-1])

    def _lookup_dotted(self, module: str, name: str) -> Entry:
        inside = module.split(".")
        parts = [*inside, *name.split(".")]
        if parts[0] == "__torch__":
            return self._lookup_plain(".".join(parts[:-1]), parts[-1])
        for prefix in _prefixes(module):  # `idlelib.run` is part of `idlelib`
            if prefix in self.dangerous_modules:
                return Entry("dotted", reason=self.dangerous_modules[prefix].reason)
        for start in (0, *range(len(inside), len(parts) - 1)):
            for end in range(max(start + 1, len(inside)), len(parts)):
                found = self._resolved(".".join(parts[start:end]), parts[end])
                if found is not None:
                    return Entry("dotted", reason=found.reason)
        known = parts[0] in self._frameworks or parts[0] in self._known_roots
        return Entry("dotted", reason="is reached through another object") if known else _UNKNOWN

    def _resolved(self, module: str, name: str) -> Entry | None:
        for spelling in (module, module.lstrip("_")):  # `import os as _os` is common in the standard library
            found = self._dangerous_names.get((spelling, name)) or self.dangerous_modules.get(spelling)
            if found is not None:
                return found
        return None


def _reviewed(item: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a person wrote down what it can do; an entry without that does not count."""
    review = str(item.get("review", ""))
    return bool(document["reviews"].get(review[1:]) if review.startswith("@") else review)


def _allowed(item: dict[str, Any], framework: str) -> Entry:
    return Entry(
        "allowed",
        uses=frozenset(item["uses"].split()),
        shape=item.get("shape", ""),
        takes=item.get("takes", ""),
        value=item.get("value", False),
        slots=item.get("slots", False),
        tuple=item.get("tuple", False),
        code=item.get("code", False),
        framework=framework,
    )


def _prefixes(module: str) -> list[str]:
    """The module and the packages around it, innermost first."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
