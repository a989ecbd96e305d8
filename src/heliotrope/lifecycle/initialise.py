"""`helio init`: a first heliotrope.yaml from what lies in a repository. Nothing of it is imported or executed."""

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from heliotrope.config.constraints import ConstraintsFile, load_constraints
from heliotrope.config.loader import load_yaml_text
from heliotrope.config.schema import HeliotropeConfig, ModelFormat
from heliotrope.core.errors import ConfigError, InputError, InternalError, UsageError
from heliotrope.core.text import printable, shorten
from heliotrope.engine.files import read_verified
from heliotrope.lifecycle._constraints import CONSTRAINTS_NAME, draft_constraints
from heliotrope.lifecycle._discovery import DataSet, Discovery, Weights, discover
from heliotrope.lifecycle._discovery_code import Loader
from heliotrope.lifecycle.names import CONFIG_NAME, STATE_NAME
from heliotrope.lifecycle.target import project_name_of
from heliotrope.subjects.formats import FORMATS

__all__ = ["InitResult", "initialise", "render_configuration"]

MAX_MODELS = 20
"""Models written into the file; a person fills them in one by one. What is left out is said."""

MAX_LOCKS = 50
"""Lock files written into the file."""

_MAX_SHOWN = 5
"""Alternatives named in a comment."""

_MAX_LABELS = 1000
"""Class names written into the file; as many as ImageNet has."""

_MAX_GITIGNORE = 2**20

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_LOOKS_LIKE_A_VALUE = re.compile(r"(?i)[-+.0-9].*|null|true|false|yes|no|on|off|y|n|~")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was written, and what a person should know of it."""

    path: Path
    text: str
    found: tuple[str, ...]
    """A line for each thing that was found. Untrusted text."""
    notes: tuple[str, ...]
    """What was left out or not looked at, and why. Untrusted text."""
    gitignore_changed: bool


def initialise(root: Path, *, force: bool = False) -> InitResult:
    """Write heliotrope.yaml into a folder, and .heliotrope/ into its .gitignore.

    Raises UsageError when the folder is none, when there is a heliotrope.yaml already (unless `force`), or when it cannot
    be written.
    """
    shown = printable(str(root))
    if not os.path.isdir(root):  # noqa: PTH112 - False instead of an exception for whatever is wrong with the path
        raise UsageError(f"{shown}: is not a folder", hint="name the folder of the project")
    path = root / CONFIG_NAME
    if os.path.lexists(path) and not force:
        raise UsageError(f"{printable(str(path))} exists already", hint="use --force to replace it")
    discovery, draft, drafted = _with_constraints(root, discover(root))
    text, notes = render_configuration(project_name_of(root.resolve()), discovery)
    try:
        load_yaml_text(text, path, HeliotropeConfig)
    except ConfigError as error:
        raise InternalError(f"init wrote what it cannot read: {error.message}") from error
    if draft is not None:
        try:
            load_yaml_text(draft, root / CONSTRAINTS_NAME, ConstraintsFile)
        except ConfigError as error:
            raise InternalError(f"init wrote what it cannot read: {error.message}") from error
    _write(path, text, force=force)
    if draft is not None:
        _write(root / CONSTRAINTS_NAME, draft, force=False)
    ignored, more = _ignore_state(root)
    return InitResult(path, text, _found(discovery), (*discovery.notes, *notes, *drafted, *more), ignored)


def _with_constraints(root: Path, discovery: Discovery) -> tuple[Discovery, str | None, tuple[str, ...]]:
    """The discovery with its tables bound to a draft of constraints, the draft, and notes. A file that is there is kept."""
    tables = [item for item in discovery.data if item.table]
    if not discovery.weights or not tables:
        return discovery, None, ()
    if os.path.lexists(root / CONSTRAINTS_NAME):
        return _with_own_constraints(root, discovery)
    if len({item.columns for item in tables if item.columns}) > 1:
        return discovery, None, (f"no {CONSTRAINTS_NAME} was drafted: there are tables of different columns",)
    source = next((item for item in tables if item.split == "train"), tables[0])
    text, why = draft_constraints(root, source.place, answers=_LIKELY_TARGETS, quoted=quoted)
    if text is None:
        return discovery, None, (why,)
    return _bound(discovery), text, (f"drafted {CONSTRAINTS_NAME} from {source.place}: read it",)


def _with_own_constraints(root: Path, discovery: Discovery) -> tuple[Discovery, None, tuple[str, ...]]:
    """A file that a person wrote is named where it can be read, and never replaced."""
    try:
        load_constraints(root / CONSTRAINTS_NAME)
    except ConfigError as error:
        return discovery, None, (f"{CONSTRAINTS_NAME} was left as it is and is not named: {error.message}",)
    return _bound(discovery), None, (f"{CONSTRAINTS_NAME} was left as it is",)


def _bound(discovery: Discovery) -> Discovery:
    data = tuple(replace(item, constraints=CONSTRAINTS_NAME) if item.table else item for item in discovery.data)
    return replace(discovery, data=data)


def render_configuration(project: str, discovery: Discovery) -> tuple[str, tuple[str, ...]]:
    """The text of heliotrope.yaml for a discovery, and notes on what was left out of it."""
    notes: list[str] = []
    lines = [
        "# Written by helio init from names, headers and Python syntax; nothing was imported or executed.",
        "# What it could not know is commented out: checks that need it are inconclusive and name the key.",
        "# Every key is described in docs/reference/configuration.md.",
        "version: 1",
        f"project: {quoted(project)}",
        "",
    ]
    models = list(discovery.weights[:MAX_MODELS])
    if len(discovery.weights) > MAX_MODELS:
        notes.append(
            f"{len(discovery.weights) - MAX_MODELS} more model files are not listed; the static checks see them"
        )
    names: set[str] = set()
    if models:
        lines.append("models:")
        for weights in models:
            lines += _model(weights, _unique_name(weights.path, names), discovery)
    elif discovery.loaders:
        lines.append("models:")
        for loader in discovery.loaders[:MAX_MODELS]:
            lines += _loader_model(loader, _unique_name(loader.path, names), discovery)
    else:
        lines += [
            "# No model file was found. As soon as there is one:",
            "# models:",
            "#   - name: classifier",
            "#     path: weights/classifier.safetensors",
        ]
    lines += ["", *_tail(discovery, notes)]
    return "\n".join(lines) + "\n", tuple(notes)


def quoted(text: str) -> str:
    """Any text as a YAML scalar on one line: plain where nothing can mistake it, else with double quotes and escapes."""
    if _PLAIN.fullmatch(text) and not _LOOKS_LIKE_A_VALUE.fullmatch(text):
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if printable(char) == char and char != "\N{NO-BREAK SPACE}":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _model(weights: Weights, name: str, discovery: Discovery) -> list[str]:
    lines = [f"  - name: {quoted(name)}", f"    path: {quoted(weights.path)}"]
    if weights.remark:
        lines.append(f"    # {weights.remark}")
    if weights.also:
        lines.append(f"    # also here, inspected but not configured: {_listing(weights.also)}")
    if weights.format is not None:
        return [*lines, *_file_model(weights, weights.format, discovery)]
    if not weights.torch:
        return [*lines, "    # this format is inspected; nothing here can ask it"]
    loaders = nearest(weights.path, discovery.loaders, lambda loader: loader.path)
    return [*lines, *_loader_lines(loaders), *_facts(weights.path, discovery)]


def _file_model(weights: Weights, kind: ModelFormat, discovery: Discovery) -> list[str]:
    """The keys of a model that its library opens from the file alone."""
    usable = nearest(weights.path, discovery.data, lambda item: item.place)
    tables = [item for item in usable if item.table]
    lines = ["    # loaded only when helio scan finds it clean"] if kind == "sklearn" else []
    if not tables and any(item.shape is not None for item in usable):
        return [*lines, *_facts(weights.path, discovery)]
    lines.append("    # task: tabular-classification  # or tabular-regression")
    if not FORMATS[kind].states_output:
        lines.append("    # output: probabilities  # or logits, labels, values: what the model returns")
    lines.append('    # labels: ["first", "second"]  # class names in the order of the outputs')
    return [*lines, *_data_lines(tables or usable, example="data/test.csv, target: answer")]


def _loader_model(loader: Loader, name: str, discovery: Discovery) -> list[str]:
    lines = [
        f"  - name: {quoted(name)}",
        f"    loader: {quoted(loader.reference)}",
        "    # path: weights, if the loader does not read them itself",
    ]
    return [*lines, *_facts(loader.path, discovery)]


def _loader_lines(loaders: Sequence[Loader]) -> list[str]:
    if len(loaders) == 1:
        return [f"    loader: {quoted(loaders[0].reference)}  # line {loaders[0].line} of {printable(loaders[0].path)}"]
    remark = "# loader: module:function without arguments that returns the nn.Module for these weights"
    if loaders:
        remark = f"# loader: one of {_listing([loader.reference for loader in loaders])}"
    return [f"    {remark}"]


def _facts(place: str, discovery: Discovery) -> list[str]:
    """The keys that describe a model: known ones filled, the others as comments."""
    usable = nearest(place, [item for item in discovery.data if not item.table], lambda item: item.place)
    shaped = {item.shape for item in usable if item.shape is not None}
    lines = []
    if len(shaped) == 1:
        source = next(item for item in usable if item.shape is not None)
        assert source.shape is not None
        lines.append("    task: image-classification")
        lines += _input_lines(source, source.shape)
    else:
        lines.append("    # task: image-classification")
        lines.append(
            "    # input: {shape: [1, 28, 28], range: [0.0, 1.0]}  # one sample, channel first, as the model takes it"
        )
    lines.append("    # output: logits  # or probabilities: what the model returns")
    lines.append("    # normalisation: {mean: [0.5], std: [0.5]}  # only if the model expects normalised inputs")
    labels = {item.labels for item in usable if item.labels}
    if len(labels) == 1 and len(names := next(iter(labels))) <= _MAX_LABELS:
        lines.append(f"    labels: [{', '.join(quoted(label) for label in names)}]  # the class folders, sorted")
    else:
        lines.append('    # labels: ["first", "second"]  # class names in the order of the outputs')
    return [*lines, *_data_lines(usable)]


def _input_lines(source: DataSet, shape: tuple[int, ...]) -> list[str]:
    where = printable(shorten(source.place, 80))
    lines = [f"    input: {{shape: {list(shape)}}}  # from {where}"]
    if source.channels_last:
        lines.append("    # these images are stored with the channels last; checks need them channel first")
    if source.header is not None and not source.header.is_bytes:
        lines.append("    # add range: [lowest, highest] to input if values of valid inputs are not between 0 and 1")
    return lines


def _data_lines(usable: Sequence[DataSet], *, example: str = "data/test.npz") -> list[str]:
    active: list[str] = []
    remarks: list[str] = []
    for split in ("train", "evaluate"):
        found = [item for item in usable if item.split == split]
        if len(found) == 1:
            active.append(f"      {split}: {_flow(found[0])}{_target(found[0])}")
        else:
            remarks += [f"    # data.{split} could be: {_flow(item)}{_target(item)}" for item in found[:_MAX_SHOWN]]
    constraints = next((item.constraints for item in usable if item.constraints), "")
    if constraints and active:
        active.append(f"      constraints: {constraints}  # what changed rows must keep")
    elif constraints:
        remarks.append(f"    # add constraints: {constraints} to data: what changed rows must keep")
    unsure = [item for item in usable if not item.split]
    remarks += [
        f"    # data: {{evaluate: {_flow(item)}}}  # if the model was not trained on it{_target(item, '; ')}"
        for item in unsure[:_MAX_SHOWN]
    ]
    if not remarks and not any(item.split == "evaluate" for item in usable):
        remarks = [
            f"    # data: {{evaluate: {{path: {example}}}}}  # labelled samples it was not trained on: npz, npy, idx, folders"
        ]
    return [*(["    data:", *active] if active else []), *remarks]


def _target(item: DataSet, start: str = "  # ") -> str:
    """What is still to be said of a table, with the columns that are called like answers first."""
    if not item.table:
        return ""
    if not item.columns:
        return f"{start}add target: the column of right answers"
    likely = sorted(item.columns, key=lambda name: name.lower() not in _LIKELY_TARGETS)
    return f"{start}add target, the column of right answers: one of {_listing(likely)}"


_LIKELY_TARGETS = frozenset({"target", "label", "labels", "class", "y", "answer", "outcome", "diagnosis"})


def _flow(item: DataSet) -> str:
    return "{" + ", ".join(f"{key}: {quoted(value)}" for key, value in item.keys) + "}"


def _tail(discovery: Discovery, notes: list[str]) -> list[str]:
    lines = [
        "# threat: {norm: Linf, eps: 0.1}  # what an attacker may change, in the units of input.range",
        "# gates: {floors: {clean_accuracy: 0.9, robust_accuracy: 0.5}}  # lowest values you accept",
    ]
    if discovery.locks:
        lines.append("dependencies:")
        lines += [f"  - {quoted(path)}" for path in discovery.locks[:MAX_LOCKS]]
        if len(discovery.locks) > MAX_LOCKS:
            notes.append(f"{len(discovery.locks) - MAX_LOCKS} more lock files are not listed")
    else:
        lines.append("# dependencies: [requirements.txt]  # lock and requirements files")
    return lines


def nearest(place: str, candidates: Sequence[T], path_of: Callable[[T], str]) -> list[T]:
    """Those that share the most leading folders with a path: two models side by side each get their own data."""

    def shared(item: T) -> int:
        mine, theirs = place.split("/")[:-1], path_of(item).split("/")[:-1]
        return next(
            (index for index, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
            min(len(mine), len(theirs)),
        )

    best = max((shared(item) for item in candidates), default=0)
    return [item for item in candidates if shared(item) == best]


def _unique_name(path: str, taken: set[str]) -> str:
    """From the file's name; with its folder's, then with a number, when another model has it."""
    folder, _, file = path.rpartition("/")
    stem = _safe(file.rpartition(".")[0] or file)
    beside = _safe(f"{folder.rpartition('/')[2]}-{stem}")
    name = next((name for name in (stem, beside) if name not in taken), "")
    number = 2
    while not name:
        candidate = f"{stem[:90]}-{number}"
        name = candidate if candidate not in taken else ""
        number += 1
    taken.add(name)
    return name


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", printable(text)).strip("-._")[:100] or "model"


def _listing(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_SHOWN} more" if len(items) > _MAX_SHOWN else ""
    return ", ".join(printable(shorten(item, 100)) for item in items[:_MAX_SHOWN]) + more


def _found(discovery: Discovery) -> tuple[str, ...]:
    lines = [f"model: {weights.path}" for weights in discovery.weights[:MAX_MODELS]]
    lines += [f"loader: {loader.reference}" for loader in discovery.loaders[:MAX_MODELS]]
    lines += [f"data: {item.place}" for item in discovery.data[:MAX_MODELS]]
    lines += [f"lock file: {path}" for path in discovery.locks[:MAX_LOCKS]]
    return tuple(lines)


def _write(path: Path, text: str, *, force: bool) -> None:
    """All or nothing. An existing file is replaced, a link is replaced by a file and not followed."""
    shown = printable(str(path))
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{CONFIG_NAME}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        if force:
            Path(temporary).replace(path)
        else:
            _put_new(temporary, path, text)
    except FileExistsError:
        raise UsageError(f"{shown} exists already", hint="use --force to replace it") from None
    except OSError as error:
        raise UsageError(
            f"{shown} cannot be written: {error.strerror}", hint="check the folder and its permissions"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _put_new(temporary: str, path: Path, text: str) -> None:
    """FileExistsError when somebody else was first."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def _ignore_state(root: Path) -> tuple[bool, tuple[str, ...]]:
    """Have git ignore the local state. A .gitignore is created only inside a git work tree."""
    path = root / ".gitignore"
    line = f"{STATE_NAME}/"
    try:
        if os.path.lexists(path):
            text = read_verified(path, max_bytes=_MAX_GITIGNORE, follow=False).data
            known = {entry.strip().strip(b"/") for entry in text.splitlines()}
            if STATE_NAME.encode() in known:
                return False, ()
            start = "" if not text or text.endswith(b"\n") else "\n"
        elif any(os.path.lexists(folder / ".git") for folder in (root.resolve(), *root.resolve().parents)):
            start = ""
        else:
            return False, ()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{start}{line}\n")
    except (InputError, OSError) as error:
        reason = error.message if isinstance(error, InputError) else f"{path}: {error.strerror}"
        return False, (f"add {line} to .gitignore yourself ({reason})",)
    return True, ()
