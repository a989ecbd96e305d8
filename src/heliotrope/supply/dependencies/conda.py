"""conda's files: environment.yml, conda-lock.yml, and explicit lists of addresses."""

from collections.abc import Iterator

from heliotrope.config.documents import Mapping, Node, Scalar, Sequence, parse_document, plain_data
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageIndex, PackageSource
from heliotrope.supply.dependencies._conda import archive_parts, conda_name, conda_package, spec_package
from heliotrope.supply.dependencies._direct import source_of
from heliotrope.supply.dependencies._entries import locked_package
from heliotrope.supply.dependencies._lines import decoded, logical_lines
from heliotrope.supply.dependencies._requirement import package_of
from heliotrope.supply.dependencies.interface import (
    MAX_PACKAGES,
    MAX_PROBLEMS,
    Include,
    Parsed,
    Problem,
    clean_address,
    distinct,
    hash_of,
    normalised,
    quoted,
    require_size,
    too_many,
)
from heliotrope.supply.dependencies.requirements import parse_requirements

__all__ = ["parse_conda_environment", "parse_conda_explicit", "parse_conda_lock", "speaks_of_conda"]

MAX_YAML_BYTES = 4 * 2**20
"""4 MiB: 500 packages on five platforms have 2. The parser reads about half a MiB a second."""

MAX_YAML_VALUES = 400_000
"""Values of a lock file of that size."""


def parse_conda_environment(data: bytes) -> Parsed:
    """What an environment.yml asks for, of conda and of pip. A mapping without dependencies speaks of something else."""
    root = _document(data)
    if not isinstance(root, Mapping):
        raise InputError("is not a conda environment: a mapping is expected")
    listed = root.entries.get("dependencies")
    if listed is None:
        return Parsed(role="declares", remarks=("names no dependencies",))
    packages: list[Package] = []
    problems: list[Problem] = []
    includes: list[Include] = []
    indexes = list(_channels(root))
    for item in _items(listed.value, "dependencies"):
        try:
            if isinstance(item, Mapping):
                found = _pip_section(item)
                packages += found.packages
                problems += found.problems
                includes += found.includes
                indexes += found.indexes
            else:
                packages.append(spec_package(_text(item), line=item.mark.line))
        except InputError as error:
            problems.append(Problem(error.message, item.mark.line))
    if len(packages) > MAX_PACKAGES:
        raise too_many(len(packages))
    return Parsed(
        role="pins",
        packages=tuple(packages),
        problems=tuple(problems),
        includes=tuple(includes),
        indexes=tuple(indexes),
    )


def _document(data: bytes) -> Node | None:
    if len(data) > MAX_YAML_BYTES:
        raise InputError(f"{len(data)} bytes, more than the limit of {MAX_YAML_BYTES} bytes")
    return parse_document(data, max_values=MAX_YAML_VALUES)


def _items(node: Node, key: str) -> list[Node]:
    if not isinstance(node, Sequence):
        raise InputError(f"line {node.mark.line}: {key}: a list is expected")
    return node.items


def _text(node: Node) -> str:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise InputError(f"a text is expected, got {quoted(str(plain_data(node)))}")
    return node.value


def _channels(root: Mapping) -> Iterator[PackageIndex]:
    entry = root.entries.get("channels")
    for item in _items(entry.value, "channels") if entry is not None else []:
        yield PackageIndex(kind="channel", address=clean_address(_text(item)), line=item.mark.line)


def _pip_section(section: Mapping) -> Parsed:
    """The list under `pip`, whose items are lines of a requirements file."""
    (key, entry), *others = section.entries.items() or [("", None)]
    if key != "pip" or others or entry is None:
        raise InputError(f"only a list under pip may stand here, not {quoted(key)}")
    packages: list[Package] = []
    problems: list[Problem] = []
    includes: list[Include] = []
    indexes: list[PackageIndex] = []
    for item in _items(entry.value, "pip"):
        line = item.mark.line
        try:
            parsed = parse_requirements(_text(item).encode("utf-8"))
        except InputError as error:
            problems.append(Problem(error.message, line))
            continue
        packages += [package.model_copy(update={"line": line}) for package in parsed.packages]
        problems += [Problem(problem.reason, line) for problem in parsed.problems]
        includes += [Include(include.path, line, constraint=include.constraint) for include in parsed.includes]
        indexes += [index.model_copy(update={"line": line}) for index in parsed.indexes]
    return Parsed("pins", tuple(packages), tuple(problems), tuple(indexes), tuple(includes))


def parse_conda_lock(data: bytes) -> Parsed:
    """conda-lock.yml (version 1): the packages of all platforms, of conda and of pip."""
    root = _document(data)
    listed = root.entries.get("package") if isinstance(root, Mapping) else None
    if not isinstance(root, Mapping) or listed is None:
        raise InputError("is not a lock file of conda-lock: a list under package is expected")
    version = root.entries.get("version")
    if version is not None and plain_data(version.value) != 1:
        raise InputError(f"version {quoted(str(plain_data(version.value)))} of conda-lock is not one that is read (1)")
    packages: list[Package] = []
    problems: list[Problem] = []
    for item in _items(listed.value, "package"):
        if len(packages) >= MAX_PACKAGES:
            raise too_many(MAX_PACKAGES + 1)
        try:
            packages.append(_locked(item))
        except InputError as error:
            problems.append(Problem(error.message, item.mark.line))
    return Parsed(role="pins", packages=tuple(packages), problems=tuple(problems), requires_hashes=True)


def _locked(item: Node) -> Package:
    if not isinstance(item, Mapping):
        raise InputError("a mapping is expected")
    texts = {
        key: entry.value.value
        for key, entry in item.entries.items()
        if isinstance(entry.value, Scalar) and isinstance(entry.value.value, str) and entry.value.value
    }
    name, version = texts.get("name"), texts.get("version")
    if name is None or version is None:
        raise InputError("name and version are expected, both texts")
    url, category = texts.get("url"), texts.get("category", "main")
    groups = () if category == "main" else (category[:200],)
    line = item.mark.line
    if texts.get("manager") == "pip":
        source = source_of(url) if url else None
        return locked_package(
            name,
            version,
            source=PackageSource(kind="index", address=source.address if source else None),
            line=line,
            hashes=_hashes(item),
            groups=groups,
            requires=tuple(sorted(normalised(key) for key in _required(item))),
        )
    _, _, build, subdir = archive_parts(url) if url else (None, None, None, None)
    return conda_package(
        name,
        version,
        build=build,
        source=PackageSource(kind="url", address=clean_address(url), fixed=bool(_hashes(item))) if url else None,
        subdir=subdir,
        marker=texts.get("platform"),
        hashes=_hashes(item),
        groups=groups,
        requires=tuple(sorted(conda_name(key) for key in _required(item) if not key.startswith("__"))),
        line=line,
    )


def _hashes(item: Mapping) -> tuple[PackageHash, ...]:
    entry = item.entries.get("hash")
    if entry is None or not isinstance(entry.value, Mapping):
        return ()
    return distinct(hash_of(f"{key}:{plain_data(value.value)}") for key, value in entry.value.entries.items())


def _required(item: Mapping) -> list[str]:
    """Names of what it depends on, without the virtual packages (__glibc) that describe the machine."""
    entry = item.entries.get("dependencies")
    return list(entry.value.entries) if entry is not None and isinstance(entry.value, Mapping) else []


def speaks_of_conda(data: bytes) -> bool:
    """Whether what is named like a requirements file is a list that conda wrote."""
    head = data[:2000].decode("utf-8", "replace")
    return "@EXPLICIT" in head or "conda create --name" in head


def parse_conda_explicit(data: bytes) -> Parsed:
    """A list of addresses after @EXPLICIT, or of name=version=build as `conda list --export` writes it."""
    require_size(data)
    packages: list[Package] = []
    problems: list[Problem] = []
    explicit = False
    for number, line in logical_lines(decoded(data)):
        if line == "@EXPLICIT":
            explicit = True
            continue
        if len(packages) >= MAX_PACKAGES:
            raise too_many(MAX_PACKAGES + 1)
        try:
            packages.append(_address(line, number) if explicit else _exported(line, number))
        except InputError as error:
            problems.append(Problem(error.message, number))
        if len(problems) > MAX_PROBLEMS:
            raise InputError(f"more than {MAX_PROBLEMS} lines cannot be read, the first in line {problems[0].line}")
    return Parsed(role="pins", packages=tuple(packages), problems=tuple(problems))


def _address(line: str, number: int) -> Package:
    address, _, digest = line.partition("#")
    name, version, build, subdir = archive_parts(address)
    algorithm = digest if ":" in digest else f"{_ALGORITHMS.get(len(digest), '')}:{digest}"
    hashes = distinct([hash_of(algorithm)])
    if digest and not hashes:
        raise InputError(f"not a digest: {quoted(digest)}")
    return conda_package(
        name,
        version,
        build=build,
        source=PackageSource(kind="url", address=clean_address(address), fixed=bool(hashes)),
        subdir=subdir,
        hashes=hashes,
        line=number,
    )


_ALGORITHMS = {32: "md5", 64: "sha256"}
"""By the number of digits: the list itself does not say."""


def _exported(line: str, number: int) -> Package:
    parts = line.split("=")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"neither an address after @EXPLICIT nor name=version=build: {quoted(line)}")
    name, version, build = parts
    if build in {"pypi_0", "pypi"}:
        return package_of(f"{name}=={version}", line=number, relation="unknown")
    return conda_package(name, version, build=build, line=number)
