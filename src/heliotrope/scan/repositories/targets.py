"""Names that a configuration asks to be imported and called: `_target_` of Hydra and its like, and YAML's tags of Python's.

The policy is that of pickles. Sources: hydra.utils.instantiate; OmegaConf's interpolations; PyYAML's constructors.
"""

import re
from typing import Any

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.pickles.arguments import CONDITIONS
from heliotrope.scan.policy import Entry, shipped_policy, target_names
from heliotrope.scan.repositories.documents import Document, Mapping, mappings, texts

__all__ = ["check_targets", "danger_of"]

_CLASS = re.compile(r"_?[A-Z]")
_RISKY = re.compile(
    r"(?:^|_)(?:load|open|read|write|save|download|exec|execute|eval|system|run|popen|call|import|compile|pickle|unpickle|"
    r"dump|remove|delete|unlink|rm|spawn|extract|fetch|urlopen|get_file|shell|command|to_file|tofile|hub|deserialize|"
    r"loads|dumps)(?:_|$)|^to_(?:csv|pickle|json|parquet|hdf|sql)$"
)
"""Verbs of functions that do more than compute."""
_MILD = {
    "opens files": "config-file-target",
    "opens files, databases or devices": "config-file-target",
    "reaches into objects": "config-file-target",
    "reads, builds or loads code of the framework": "config-file-target",
}
"""Reasons of the policy for functions that a configuration may name without malice; the others have none."""
_INTERPOLATION = re.compile(r"\$\{([^${}]*)\}")
_MAX_RESOLVED = 8
_MAX_NAME = 500
_MAX_PARTS = 32
"""Parts of a dotted name that are looked at; no module lies so deep."""
_SHOWN = 120
_TAG = re.compile(r"(?:tag:yaml\.org,2002:|!+)python/(object/apply|object/new|object|name|module)(?::(.*))?", re.DOTALL)


def check_targets(document: Document, context: Context) -> bool:
    """Judge every name; whether there was any."""
    judge = _Judge(document, context)
    found = False
    for mapping, around in mappings(document):
        found |= judge.mapping(mapping, around)
    for tag, value, offset in document.tags:
        found |= judge.tag(tag, value, offset)
    return found


def danger_of(name: str) -> Entry | None:
    """What the policy holds against a dotted name, read as Python would: any part of it may be the module."""
    policy, names = shipped_policy(), target_names()
    parts = name.split(".")
    if name in names.pure or len(parts) < 2 or len(name) > _MAX_NAME:
        return None
    found = None
    for start in range(min(len(parts) - 1, _MAX_PARTS)):
        if start and parts[start] not in names.inside:
            continue
        for end in range(start + 1, min(len(parts), _MAX_PARTS)):
            entry = policy.lookup(".".join(parts[start:end]), parts[end])
            if entry.kind == "dangerous" and (found is None or found.reason in _MILD):
                found = entry
    if found is not None and found.reason in _MILD and parts[0] in names.packages and parts[-1] in names.ordinary:
        return None  # reads what the person who configures names, as configurations are there for
    return found


class _Judge:
    def __init__(self, document: Document, context: Context) -> None:
        self._document = document
        self._context = context
        self._policy = shipped_policy()
        self._is_nemo = re.split(r"[/!]", context.member or "")[-1] == "model_config.yaml"
        """NeMo restores the class that `target` names, with the configuration as its argument (ModelPT.restore_from)."""
        self._names = target_names()

    def mapping(self, mapping: Mapping, around: tuple[Mapping, ...]) -> bool:
        found = False
        for target in mapping.all("_target_"):
            found = True
            if isinstance(target, str):
                self._target(target, mapping, around)
        if mapping is self._document.root and self._is_nemo:
            for target in mapping.all("target"):
                if isinstance(target, str):
                    found = True
                    self._target(target, mapping, around)
            return found
        for key, beside in (("target", "params"), ("class_path", "init_args"), ("_component_", "")):
            # The same idea in other libraries; of their names only dangerous ones are certain to be names.
            for target in mapping.all(key):
                if (
                    isinstance(target, str)
                    and (not beside or mapping.has(beside) or key == "class_path")
                    and self._danger(target, key)
                ):
                    found = True
        return found

    def _target(self, text: str, mapping: Mapping, around: tuple[Mapping, ...]) -> None:
        name = self._resolved(text.strip(), mapping, around)
        if name is None:
            shown = _shown(text)
            self._note("config-computed-target", f"the target {shown} is only known when it is used", shown)
            return
        if self._danger(name, "_target_"):
            return
        if name in self._names.lookups:
            self._looked_up(name, mapping)
            return
        self._judge(name)

    def _looked_up(self, name: str, mapping: Mapping) -> None:
        for key, value in mapping:
            for text in texts(value):
                if key != "_target_" and "." in text and not self._danger(text, name):
                    self._judge(text)

    def _danger(self, name: str, key: str) -> bool:
        entry = danger_of(name)
        if entry is None:
            return False
        rule = _MILD.get(entry.reason, "config-dangerous-target")
        message = f"{key} names {_shown(name)}, which {entry.reason}"
        self._note(rule, message, _shown(name), name)
        return True

    def _judge(self, name: str) -> None:
        if len(name) > _MAX_NAME:
            self._unknown(name, "is longer than names are")
            return
        module, _, last = name.rpartition(".")
        entry = self._policy.lookup(module, last)
        if entry.kind == "allowed" and entry.shape in CONDITIONS - {"constants"}:
            self._unknown(name, "is harmless with some arguments only")
        elif entry.kind == "allowed" or name in self._names.pure:
            self._context.notes.imported(name)
        elif name.partition(".")[0] not in self._names.packages or not module:
            self._unknown(name, "is not of a package that is known")
        elif name in self._names.acting or (
            not _CLASS.match(last) and last not in self._names.ordinary and _RISKY.search(last)
        ):
            self._unknown(name, "does more than compute")
        else:
            self._context.notes.imported(name)

    def _unknown(self, name: str, why: str) -> None:
        message = f"imports and calls {_shown(name)}, which {why}"
        self._note("config-unknown-target", message, _shown(name), name)

    def tag(self, tag: str, value: Any, offset: int) -> bool:
        match = _TAG.fullmatch(tag)
        if match is None:
            return False
        way, name = match[1], match[2] or (value if isinstance(value, str) else "")
        shown = _shown(name)
        message = f"the tag python/{way} names {shown}"
        entry = danger_of(name if "." in name else f"builtins.{name}")
        if way == "module":
            entry = danger_of(f"{name}.x")
        if entry is not None and entry.reason not in _MILD:
            rule = "yaml-dangerous-object" if way.startswith("object") else "yaml-python-object"
            self._note(rule, f"{message}, which {entry.reason}", shown, name, offset)
        elif way.startswith("object") and not self._vouched(name):
            self._note("yaml-python-object", message, shown, name, offset)
        else:
            self._note("yaml-python-name", message, shown, name, offset)
        return True

    def _vouched(self, name: str) -> bool:
        module, _, last = name[:_MAX_NAME].rpartition(".")
        entry = self._policy.lookup(module or "builtins", last)
        return entry.kind == "allowed" and entry.shape not in CONDITIONS

    def _note(self, rule: str, message: str, key: str, name: str | None = None, offset: int | None = None) -> None:
        member = self._context.member
        self._context.notes.add(rule, message, key=key, global_name=name, member=member, offset=offset)

    # interpolations

    def _resolved(self, text: str, mapping: Mapping, around: tuple[Mapping, ...]) -> str | None:
        """The text with every ${...} replaced by what stands elsewhere in the document; None where that is not there."""
        for _ in range(_MAX_RESOLVED):
            match = _INTERPOLATION.search(text)
            if match is None:
                return None if "${" in text else text
            value = self._looked(match[1].strip(), mapping, around)
            if not isinstance(value, str) or len(value) > self._context.limits.max_name:
                return None
            text = text[: match.start()] + value + text[match.end() :]
        return None

    def _looked(self, path: str, mapping: Mapping, around: tuple[Mapping, ...]) -> Any:
        resolver, colon, rest = path.partition(":")
        if colon:
            _, comma, default = rest.partition(",")
            return default.strip().strip("'\"") if comma and resolver in ("oc.env", "oc.select") else None
        value: Any = self._document.root
        if path.startswith("."):
            ups = len(path) - len(path.lstrip("."))
            chain = (*around, mapping)
            if ups > len(chain):
                return None
            value, path = chain[-ups], path.lstrip(".")
        for part in re.findall(r"[^.\[\]]+", path):
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and len(part) < 6 and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value


def _shown(name: str) -> str:
    return shorten(printable(name), _SHOWN)
