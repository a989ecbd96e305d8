"""Finding a project's files about packages, following what they include, and reading them into one piece of evidence."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import (
    DependenciesPredicate,
    DependencyFile,
    DependencyFormat,
    DependencyProblem,
)
from heliotrope.core.text import printable
from heliotrope.engine.files import WalkedFile, WalkProblem, is_folder, read_verified, walk
from heliotrope.supply.dependencies.formats import is_dependency_file, may_include, parse_file
from heliotrope.supply.dependencies.installed import package_folders, parse_environment, running_folders
from heliotrope.supply.dependencies.interface import MAX_BYTES, MAX_PACKAGES, MAX_PROBLEMS, Parsed, quoted

__all__ = [
    "RUNNING",
    "Found",
    "environment_inputs",
    "find_dependency_files",
    "read_dependencies",
    "read_environment",
    "with_includes",
]

MAX_FILES = 1_000
"""Files about packages in one project; a monorepo of 300 parts has as many."""

MAX_TOTAL_BYTES = 24 * 2**20
"""24 MiB in all: what is read becomes one piece of evidence, which the ledger keeps up to 64 MiB."""

MAX_INCLUDE_DEPTH = 20
"""Files that include files. People use two or three levels."""

RUNNING = "running interpreter"
"""The path under which the packages of our own interpreter are listed."""

_PYTHON = (".py", ".ipynb", ".pyx")


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in a project, before anything is read."""

    files: tuple[str, ...]
    """Relative to the root, in path order."""
    problems: tuple[DependencyProblem, ...]
    """What could not be looked at."""
    python_code: bool


@dataclass(slots=True)
class _Wanted:
    """Accepts names of files about packages, and remembers whether there was Python code."""

    python_code: bool = False

    def __call__(self, name: str) -> bool:
        if name.endswith(_PYTHON) or name == "setup.cfg":
            self.python_code = True
        return is_dependency_file(name)


def find_dependency_files(root: Path, paths: Iterable[Path], named: Iterable[str] = ()) -> Found:
    """Files about packages below the paths, and those that are named, which may be environments too."""
    wanted = _Wanted()
    files: set[str] = set()
    problems: list[DependencyProblem] = []
    for path in paths:
        found, unseen = _below(root, path, wanted)
        files |= found
        problems += unseen
    for name in named:
        try:
            files.add(_inside(root, name))
        except InputError as error:
            problems.append(DependencyProblem(path=name, reason=error.message))
    kept = sorted(files)
    if len(kept) > MAX_FILES:
        reason = f"{len(kept)} files speak of packages, more than the limit of {MAX_FILES}; the rest was not read"
        problems.append(DependencyProblem(path=".", reason=reason))
    return Found(tuple(kept[:MAX_FILES]), tuple(problems), wanted.python_code)


def _below(root: Path, path: Path, wanted: _Wanted) -> tuple[set[str], list[DependencyProblem]]:
    """The accepted files below a path, relative to the root, and what could not be looked at."""
    if not is_folder(path):
        return ({path.relative_to(root).as_posix()} if wanted(path.name) else set()), []
    prefix = "" if path == root else f"{path.relative_to(root).as_posix()}/"
    real = os.fsencode(os.path.realpath(path))
    files: set[str] = set()
    problems: list[DependencyProblem] = []
    for item in walk(path, wanted=wanted):
        name = f"{prefix}{item.relative}"
        if isinstance(item, WalkProblem):
            problems.append(DependencyProblem(path=name, reason=item.reason))
        elif isinstance(item, WalkedFile):
            if item.relative.encode() == os.path.relpath(os.fsencode(item.path), real):
                files.add(name)
            else:
                problems.append(DependencyProblem(path=name, reason="its name is not valid UTF-8"))
    return files, problems


def _inside(root: Path, relative: str) -> str:
    """The path, normalised; InputError when it leads out of the project, by dots or by a link."""
    path = normpath(relative.replace("\\", "/"))
    if not relative or "\0" in relative or path == ".." or path.startswith(("/", "~", "../")):
        raise InputError("leads out of the project")
    home, target = os.path.realpath(root), os.path.realpath(root / path)
    if os.path.commonpath([home, target]) != home:
        raise InputError("leads out of the project")
    return path


@dataclass(slots=True)
class _Reading:
    root: Path
    files: dict[tuple[str, bool], DependencyFile] = field(default_factory=dict)
    """By path, and whether it is read as constraints."""
    problems: list[DependencyProblem] = field(default_factory=list)
    size: int = 0
    packages: int = 0

    def problem(self, path: str, reason: str, line: int | None = None) -> None:
        if len(self.problems) <= MAX_PROBLEMS:
            self.problems.append(DependencyProblem(path=path, reason=reason, line=line))


def with_includes(root: Path, files: Iterable[str]) -> tuple[str, ...]:
    """The files and all that they take in: what evidence about them rests on."""
    reading = _Reading(root)
    _read_all(reading, [path for path in files if may_include(path.rpartition("/")[2]) and not is_folder(root / path)])
    return tuple(sorted({*files, *(path for path, _ in reading.files)}))


def read_dependencies(root: Path, found: Found) -> DependenciesPredicate:
    """Read the files and all that they include. What cannot be read is among the problems."""
    reading = _Reading(root)
    folders = [path for path in found.files if is_folder(root / path)]
    _read_all(reading, [path for path in found.files if path not in folders])
    environments = []
    for path in folders:
        try:
            environment, problems = read_environment(root / path, path)
        except InputError as error:
            reading.problem(path, _unnamed(error, root / path))
        else:
            environments.append(environment)
            reading.problems += problems
    files = [*reading.files.values(), *environments]
    return DependenciesPredicate(
        files=tuple(sorted(files, key=lambda file: (file.path, file.format))),
        problems=(*found.problems, *reading.problems),
        python_code=found.python_code,
    )


def _read_all(reading: _Reading, paths: Iterable[str]) -> None:
    for path in paths:
        if (path, False) not in reading.files and (path, True) not in reading.files:
            _read(reading, path, constraint=False, above=())


def _read(reading: _Reading, path: str, *, constraint: bool, above: tuple[str, ...]) -> None:
    try:
        form, parsed, sha256 = _parsed(reading, path, constraint=constraint)
    except InputError as error:
        reading.problem(path, _unnamed(error, reading.root / path))
        return
    for problem in parsed.problems:
        reading.problem(path, problem.reason, problem.line)
    inclusions = _included(reading, path, parsed, above)
    file = DependencyFile(
        path=path,
        format=form,
        role=parsed.role,
        sha256=sha256,
        packages=parsed.packages,
        indexes=parsed.indexes,
        includes=tuple(name for name, bounds in inclusions if not bounds),
        constraints=tuple(name for name, bounds in inclusions if bounds),
        requires_hashes=parsed.requires_hashes,
        remarks=parsed.remarks,
    )
    reading.files[path, constraint] = file
    for name, bounds in inclusions:
        if (name, bounds) not in reading.files:
            _read(reading, name, constraint=bounds, above=(*above, path))


def _parsed(reading: _Reading, path: str, *, constraint: bool) -> tuple[DependencyFormat, Parsed, str]:
    if reading.size >= MAX_TOTAL_BYTES:
        raise InputError(f"not read: more than the limit of {MAX_TOTAL_BYTES} bytes in all files about packages")
    if len(reading.files) >= MAX_FILES:
        raise InputError(f"not read: more than the limit of {MAX_FILES} files about packages")
    content = read_verified(reading.root / path, max_bytes=MAX_BYTES)
    reading.size += len(content.data)
    form, parsed = parse_file(path.rpartition("/")[2], content.data, constraint=constraint)
    reading.packages += len(parsed.packages)
    if reading.packages > MAX_PACKAGES:
        raise InputError(f"not taken in: more than the limit of {MAX_PACKAGES} packages in all files")
    return form, parsed, content.sha256


def _included(reading: _Reading, path: str, parsed: Parsed, above: tuple[str, ...]) -> list[tuple[str, bool]]:
    """What a file takes in, without what is refused: a circle, a URL, a file outside the project."""
    kept: dict[tuple[str, bool], None] = {}
    for include in parsed.includes:
        try:
            name = _include_path(reading.root, path, include.path)
            if name in {path, *above}:
                raise InputError("includes itself, directly or through others")  # noqa: TRY301 - one place that tells
            if len(above) >= MAX_INCLUDE_DEPTH:
                raise InputError(f"more than {MAX_INCLUDE_DEPTH} files include each other")  # noqa: TRY301
        except InputError as error:
            reading.problem(path, f"{quoted(include.path)}: {error.message}", include.line)
        else:
            kept[name, include.constraint] = None
    return list(kept)


def _include_path(root: Path, path: str, wanted: str) -> str:
    if "://" in wanted:
        raise InputError("is fetched from elsewhere when packages are installed; nothing is fetched here")
    return _inside(root, join(dirname(path), wanted))


def read_environment(folder: Path | None, shown: str) -> tuple[DependencyFile, list[DependencyProblem]]:
    """The packages installed in a virtual environment, or in that of the running interpreter (None)."""
    folders = running_folders() if folder is None else package_folders(folder)
    parsed = parse_environment(folders)
    file = DependencyFile(path=shown, format="installed", role="installed", sha256=None, packages=parsed.packages)
    return file, [DependencyProblem(path=shown, reason=problem.reason) for problem in parsed.problems[:MAX_PROBLEMS]]


def environment_inputs(folder: Path) -> dict[str, Path]:
    """The files that evidence about an environment rests on, by their names below its site-packages."""
    names = ("METADATA", "PKG-INFO", "RECORD", "direct_url.json")
    inputs: dict[str, Path] = {}
    for packages in package_folders(folder):
        for item in sorted(packages.iterdir()):
            if item.suffix in {".dist-info", ".egg-info"}:
                inputs |= {f"{item.name}/{name}": item / name for name in names if (item / name).is_file()}
    return inputs


def _unnamed(error: InputError, path: Path) -> str:
    """The reason without the path of this machine, which the problem names itself."""
    return error.message.removeprefix(f"{printable(str(path))}: ")
