"""Installed environments, read from their metadata files. Nothing of them is imported or run."""

import email
import email.policy
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import InvalidRequirement, Requirement

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageSource
from heliotrope.core.text import printable, shorten
from heliotrope.engine.files import is_folder, read_verified, sha256_file
from heliotrope.supply.dependencies._entries import locked_package
from heliotrope.supply.dependencies.interface import (
    INDEX,
    MAX_PACKAGES,
    Parsed,
    Problem,
    clean_address,
    is_commit,
    normalised,
    quoted,
    too_many,
)

__all__ = ["package_folders", "parse_environment", "read_distribution", "running_folders"]

MAX_METADATA_BYTES = 4 * 2**20
"""4 MiB: METADATA holds the long description; the longest published ones have some hundred KiB."""

MAX_SMALL_BYTES = 64 * 2**10
"""64 KiB: INSTALLER, REQUESTED and direct_url.json have some hundred bytes."""

_CLASSIFIER = "License :: OSI Approved :: "


def package_folders(environment: Path) -> tuple[Path, ...]:
    """The site-packages of a virtual environment, or the folder itself; InputError when it is neither."""
    if not is_folder(environment):
        raise InputError(f"{printable(str(environment))}: is no folder", hint="name a virtual environment")
    if (environment / "pyvenv.cfg").is_file():
        found = sorted(environment.glob("lib*/python3*/site-packages"))
        windows = environment / "Lib" / "site-packages"
        folders = [*found, *([windows] if is_folder(windows) else [])]
        distinct = {os.path.realpath(folder): folder for folder in folders if is_folder(folder)}
        if distinct:
            return tuple(distinct.values())
    if next(_distributions(environment), None) is not None:
        return (environment,)
    raise InputError(
        f"{printable(str(environment))}: no installed packages are here",
        hint="name a virtual environment or its site-packages",
    )


def running_folders() -> tuple[Path, ...]:
    """Where the interpreter that runs us has its packages."""
    wanted = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    on_path = [os.path.realpath(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    return tuple(Path(folder) for folder in sorted({*wanted, *on_path}) if is_folder(Path(folder)))


def parse_environment(folders: tuple[Path, ...]) -> Parsed:
    """Every distribution of these folders; the first one of a name hides later ones, as for an import."""
    packages: dict[str, Package] = {}
    problems: list[Problem] = []
    for folder in folders:
        for item in _distributions(folder):
            if len(packages) >= MAX_PACKAGES:
                raise too_many(MAX_PACKAGES + 1)
            try:
                package = read_distribution(item)
                packages.setdefault(package.name, package)
            except InputError as error:
                problems.append(Problem(f"{quoted(item.name)[1:-1]}: {_unnamed(error.message, item)}"))
    return Parsed(role="installed", packages=tuple(packages[key] for key in sorted(packages)), problems=tuple(problems))


def _distributions(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            names = sorted(item.name for item in listing if item.name.endswith((".dist-info", ".egg-info")))
    except OSError as error:
        raise InputError(f"{printable(str(folder))}: cannot be listed: {error.strerror}") from None
    for name in names:
        if is_folder(folder / name):
            yield folder / name


def read_distribution(folder: Path) -> Package:
    """One distribution from its .dist-info or .egg-info folder. InputError when its metadata do not say what it is."""
    name = "METADATA" if folder.name.endswith(".dist-info") else "PKG-INFO"
    data = read_verified(folder / name, max_bytes=MAX_METADATA_BYTES, follow=False).data
    head = data.split(b"\n\n", 1)[0].decode("utf-8", "replace")
    try:
        fields = email.message_from_string(head, policy=email.policy.compat32)
    except (ValueError, LookupError, RecursionError):
        raise InputError(f"{name} cannot be read") from None
    version = fields.get("Version")
    if not version:
        raise InputError(f"{name} names no version")
    licence, is_spdx = _licence(
        fields.get("License-Expression"), fields.get("License"), fields.get_all("Classifier") or []
    )
    package = locked_package(
        str(fields.get("Name") or ""),
        str(version).strip()[:200],
        source=_source(folder),
        line=None,
        requires=tuple(sorted(_requires([str(item) for item in fields.get_all("Requires-Dist") or []]))),
    )
    requested = (folder / "REQUESTED").is_file()
    record = folder / "RECORD"
    return package.model_copy(
        update={
            "licence": licence,
            "licence_is_spdx": is_spdx,
            "relation": "direct" if requested else "unknown",
            "record_sha256": sha256_file(record, follow=False).sha256 if record.is_file() else None,
        }
    )


def _licence(expression: object, text: object, classifiers: Sequence[object]) -> tuple[str | None, bool]:
    """An SPDX expression where there is one, else what is written in the free field or the classifiers."""
    for candidate in (expression, text):
        if isinstance(candidate, str) and 0 < len(candidate.strip()) <= 200:
            try:
                return str(canonicalize_license_expression(candidate.strip())), True
            except (InvalidLicenseExpression, RecursionError, ValueError):
                continue
    named = [str(item).removeprefix(_CLASSIFIER) for item in classifiers if str(item).startswith(_CLASSIFIER)]
    if named:
        return shorten(printable(", ".join(sorted(named))), 200), False
    if isinstance(text, str) and text.strip():
        return shorten(printable(text.strip().partition("\n")[0]), 200), False
    return None, False


def _requires(listed: list[str]) -> set[str]:
    """Names of what it depends on in this environment; what only an extra asks for is left out."""
    names = set()
    for item in listed[:MAX_PACKAGES]:
        try:
            requirement = Requirement(item[:2000])
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names.add(normalised(requirement.name))
        except (InvalidRequirement, InputError, ValueError, RecursionError):
            continue  # the installer could not read it either
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "packaging":
                raise
    return names


def _source(folder: Path) -> PackageSource:
    """Where the installer took it from, when that was not an index (PEP 610)."""
    path = folder / "direct_url.json"
    if not path.is_file():
        return INDEX
    try:
        document = json.loads(read_verified(path, max_bytes=MAX_SMALL_BYTES, follow=False).data.decode("utf-8"))
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InputError("direct_url.json is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("url"), str):
        raise InputError("direct_url.json names no url")
    address = clean_address(document["url"])
    vcs = document.get("vcs_info")
    if isinstance(vcs, dict):
        commit = vcs.get("commit_id")
        return PackageSource(
            kind="vcs",
            address=address,
            vcs=str(vcs.get("vcs") or "git")[:20],
            revision=str(commit)[:200] if commit else None,
            fixed=is_commit(str(commit)),
        )
    if isinstance(document.get("dir_info"), dict) or address.startswith("file:"):
        return PackageSource(kind="path", address=address, fixed=False)
    return PackageSource(kind="url", address=address, fixed=isinstance(document.get("archive_info"), dict))


def _unnamed(message: str, item: Path) -> str:
    """The reason without the path of this machine."""
    return message.replace(printable(str(item)) + "/", "")
