"""Reading heliotrope.yaml and other YAML files into typed records, strictly."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from heliotrope.config._docs import key_names
from heliotrope.config._errors import describe, explain_errors
from heliotrope.config._source import SourceText, read_source, source_of_text
from heliotrope.config._yaml import Mapping, Node, Scalar, Sequence, parse, plain_data
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import ConfigError
from heliotrope.core.records import Record

__all__ = ["CONFIG_DOCS", "Loaded", "LoadedConfig", "load_config", "load_yaml_model", "load_yaml_text"]

CONFIG_DOCS = "docs/reference/configuration.md"

T = TypeVar("T", bound=Record)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """A record, the file it was read from, and where each key stands."""

    value: T
    path: Path
    digest: str
    """SHA-256 of the file's bytes."""
    lines: dict[str, int]
    """Key path, as in models[0].threat.eps, to its line."""

    def origin(self, key: str) -> int | None:
        """The line in which a key is given, None for a default."""
        return self.lines.get(key)


@dataclass(frozen=True, slots=True)
class LoadedConfig(Loaded[HeliotropeConfig]):
    """heliotrope.yaml as it was read."""

    @property
    def config(self) -> HeliotropeConfig:
        return self.value


def load_config(path: Path) -> LoadedConfig:
    """Read heliotrope.yaml. ConfigError says file, line, column, key, what was expected and what is there."""
    loaded = load_yaml_model(path, HeliotropeConfig, docs=CONFIG_DOCS)
    return LoadedConfig(loaded.value, loaded.path, loaded.digest, loaded.lines)


def load_yaml_model(path: Path, model: type[T], *, docs: str | None = None) -> Loaded[T]:
    """Read a YAML file as a record. Nothing is converted silently: a text is no number, 1.0 is no whole number.

    Raises ConfigError; `docs` names the page that it points to.
    """
    return _load(read_source(path), path, model, docs)


def load_yaml_text(text: str, path: Path, model: type[T], *, docs: str | None = None) -> Loaded[T]:
    """Read a text as the content that a file at `path` would have; errors as for load_yaml_model."""
    return _load(source_of_text(text, path), path, model, docs)


def _load(source: SourceText, path: Path, model: type[T], docs: str | None) -> Loaded[T]:
    root = parse(source)
    if root is None:
        needed = " and ".join(key for key, name in key_names(model).items() if model.model_fields[name].is_required())
        hint = f"it needs at least {needed}" if needed else "write key: value lines"
        raise ConfigError(f"{source.shown}: is empty", hint=hint)
    _require_version(source.shown, root)
    try:
        value = model.model_validate_json(json.dumps(plain_data(root)), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise explain_errors(source.shown, root, model, details, docs=docs) from None
    lines: dict[str, int] = {}
    _collect_lines(root, "", lines)
    return Loaded(value, path, source.digest, lines)


def _require_version(shown: str, root: Node) -> None:
    """Python takes true and 1.0 for 1; a file may not."""
    entry = root.entries.get("version") if isinstance(root, Mapping) else None
    if entry is not None and isinstance(entry.value, Scalar) and isinstance(entry.value.value, bool | float):
        mark = entry.value.mark
        raise ConfigError(
            f"{shown}:{mark.line}:{mark.column}: version: expected a whole number, got {describe(entry.value)}",
            hint="write version: 1",
        )


def _collect_lines(node: Node, path: str, lines: dict[str, int]) -> None:
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            child = f"{path}.{key}" if path else key
            lines[child] = entry.mark.line
            _collect_lines(entry.value, child, lines)
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            lines[f"{path}[{index}]"] = item.mark.line
            _collect_lines(item, f"{path}[{index}]", lines)
