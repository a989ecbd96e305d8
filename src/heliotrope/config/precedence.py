"""Where a setting comes from: option before environment before file before default."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast, get_args

from heliotrope.config.loader import LoadedConfig
from heliotrope.config.schema import Suite
from heliotrope.core.errors import ConfigError
from heliotrope.core.records import MAX_SAFE_INTEGER
from heliotrope.core.text import printable, shorten

__all__ = ["Row", "Setting", "Settings", "explain", "settle"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and where it comes from."""

    value: T
    origin: str
    """`option --suite`, `environment HELIOTROPE_SUITE`, `heliotrope.yaml:12` or `default`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be said in more than one place, settled."""

    suite: Setting[Suite]
    seed: Setting[int]
    sample: Setting[int | Literal["all"] | None]
    """None: as the suite says."""
    ledger: Setting[str | None]
    """None: the project's own."""
    report_dir: Setting[str | None]
    """None: under .heliotrope/reports."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `helio config explain`."""

    key: str
    value: str
    """Safe to print; passwords in URLs are masked."""
    origin: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """One setting: its key in the file, its option, its variable, and what a variable's text must be."""

    key: str | None
    option: str
    variable: str
    default: Any
    parse: Callable[[str], Any]
    expected: str


def settle(
    loaded: LoadedConfig | None,
    *,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settle every setting. `options` maps its name, as in report_dir, to what the command line says (None: nothing).

    An empty variable counts as not set. Raises ConfigError for a variable that cannot be understood.
    """
    variables = os.environ if environment is None else environment
    given = options or {}
    found = {name: _settle(name, rule, loaded, given, variables) for name, rule in _RULES.items()}
    return Settings(**found)


def explain(
    loaded: LoadedConfig | None,
    *,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Row, ...]:
    """Every key that holds, with its value and origin: the settings first, then the rest of the file's keys."""
    settings = settle(loaded, options=options, environment=environment)
    rows = [_row(rule.key or name, getattr(settings, name)) for name, rule in _RULES.items()]
    settled = {row.key for row in rows}
    if loaded is not None:
        for key, value in _leaves("", loaded.config.document()):
            if key not in settled:
                rows.append(_row(key, Setting(value, _file_origin(loaded, key))))
    return tuple(rows)


def _settle(
    name: str, rule: _Rule, loaded: LoadedConfig | None, options: Mapping[str, Any], variables: Mapping[str, str]
) -> Setting[Any]:
    if options.get(name) is not None:
        return Setting(options[name], f"option {rule.option}")
    text = variables.get(rule.variable, "")
    if text:
        try:
            return Setting(rule.parse(text), f"environment {rule.variable}")
        except ValueError:
            shown = shorten(printable(_without_password(text)), 60)
            raise ConfigError(
                f"environment variable {rule.variable}: expected {rule.expected}, got '{shown}'",
                hint=f"correct or unset {rule.variable}",
            ) from None
    if loaded is not None and rule.key is not None:
        value: Any = loaded.config
        for step in rule.key.split("."):
            value = getattr(value, step)
        return Setting(value, _file_origin(loaded, rule.key))
    return Setting(rule.default, "default")


def _file_origin(loaded: LoadedConfig, key: str) -> str:
    line = loaded.origin(key)
    return f"{printable(loaded.path.name)}:{line}" if line is not None else "default"


def _row(key: str, setting: Setting[Any]) -> Row:
    value = setting.value
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return Row(printable(key), printable(_without_password(text)), setting.origin)


def _without_password(text: str) -> str:
    masked = re.sub(r"(://[^/@:\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", masked)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Key paths of single values and of lists of them, in the order of the schema."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, item)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    elif value not in (None, [], {}):
        yield path, value


def _suite(text: str) -> Suite:
    if text not in get_args(Suite):
        raise ValueError(text)
    return cast("Suite", text)


def _whole_number(text: str, lowest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text) or not lowest <= int(text) <= MAX_SAFE_INTEGER:
        raise ValueError(text)
    return int(text)


def _sample(text: str) -> int | Literal["all"]:
    return "all" if text == "all" else _whole_number(text, 1)


def _path(text: str) -> str:
    if not text.isprintable():
        raise ValueError(text)
    return text


_RULES = {
    "suite": _Rule("checks.suite", "--suite", "HELIOTROPE_SUITE", "standard", _suite, "quick, standard or deep"),
    "seed": _Rule(
        "seed",
        "--seed",
        "HELIOTROPE_SEED",
        0,
        lambda text: _whole_number(text, 0),
        f"a whole number from 0 to {MAX_SAFE_INTEGER}",
    ),
    "sample": _Rule("sample", "--sample", "HELIOTROPE_SAMPLE", None, _sample, "a whole number of at least 1, or all"),
    "ledger": _Rule(None, "--ledger", "HELIOTROPE_LEDGER", None, _path, "a path or URL"),
    "report_dir": _Rule(None, "--report-dir", "HELIOTROPE_REPORT_DIR", None, _path, "the path of a folder"),
}
