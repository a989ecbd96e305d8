"""What `helio doctor` looks at: this installation and what it can do here."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import heliotrope
from heliotrope.core.errors import HeliotropeError
from heliotrope.core.outcomes import Passed
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject
from heliotrope.engine.interface import CheckDescriptor, Limits, Task
from heliotrope.engine.registry import checks, unavailable
from heliotrope.engine.workdirs import working_folder
from heliotrope.engine.worker_executor import run_in_worker
from heliotrope.gate import default_policy
from heliotrope.ledger.ownership import state_folder
from heliotrope.lifecycle.consent import configuration_home
from heliotrope.subjects.formats import FORMATS

__all__ = ["Diagnosis", "diagnose"]

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    advice: str = ""


def diagnose() -> list[Diagnosis]:
    """Look at everything; never raises."""
    return [
        _python(),
        *_extras(),
        *_plugins(),
        _policy(),
        _worker(),
        *(_folder(name, path) for name, path in (("configuration", configuration_home()), ("state", state_folder()))),
        _git(),
    ]


def _python() -> Diagnosis:
    found = f"Heliotrope {heliotrope.__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Diagnosis("installation", "ok", found)


def _extras() -> list[Diagnosis]:
    needs: dict[str, set[str]] = {}
    for descriptor in checks():
        if descriptor.extra and descriptor.built_in:
            needs.setdefault(descriptor.extra, set()).update(descriptor.modules)
    for kind in FORMATS.values():
        needs.setdefault(kind.extra, set()).update(kind.modules)
    rows = []
    for extra, modules in sorted(needs.items()):
        absent = sorted(module for module in modules if importlib.util.find_spec(module) is None)
        if absent:
            advice = f"pip install 'heliotrope[{extra}]'"
            rows.append(Diagnosis(f"extra {extra}", "note", f"not installed: {', '.join(absent)}", advice))
        else:
            rows.append(Diagnosis(f"extra {extra}", "ok", ", ".join(_version(module) for module in sorted(modules))))
    return rows


def _version(module: str) -> str:
    for name in _DISTRIBUTIONS.get(module, (module,)):
        try:
            return f"{module} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return module


_DISTRIBUTIONS = {"PIL": ("pillow",), "sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu")}


def _plugins() -> list[Diagnosis]:
    rows = [Diagnosis("checks", "ok" if checks() else "broken", f"{len(checks())} registered")]
    rows += [
        Diagnosis(f"plug-in {item.name}", "broken", item.reason, f"repair or uninstall the package of {item.module}")
        for item in unavailable()
    ]
    return rows


def _policy() -> Diagnosis:
    try:
        return Diagnosis("default policy", "ok", f"{len(default_policy().rules)} rules")
    except HeliotropeError as error:
        return Diagnosis("default policy", "broken", error.message, "reinstall heliotrope")


class _NoParameters(Record):
    """The probe takes none."""


def _worker() -> Diagnosis:
    """Start a real worker with a check that does not exist: what comes back shows that both ends talk."""
    subject = Subject(urn="urn:heliotrope:doctor:project:doctor", kind="project", name="doctor")
    probe = CheckDescriptor(
        id="doctor.probe",
        version="1",
        title="Probe",
        applies_to="project",
        cost="quick",
        isolation="worker",
        runs_project_code=False,
        extra=None,
        modules=(),
        parameters=_NoParameters,
        plan=lambda _: iter(()),
        function=lambda _task, _context: CheckResult(outcome=Passed()),
    )
    task = Task(check=probe.id, subject=subject, root=tempfile.gettempdir(), parameters={}, inputs={}, seed=0)
    with working_folder() as workdir:
        execution = run_in_worker(
            probe, task, workdir=workdir, limits=Limits(wall_seconds=30), progress=lambda _done, _total, _text: None
        )
    network = execution.environment.get("network")
    if network is None:
        return Diagnosis(
            "worker process", "broken", execution.result.outcome.reason, "run again with --debug and report it"
        )
    reach = "without network" if network == "none" else "with network (this system lets no process leave it)"
    return Diagnosis("worker process", "ok" if network == "none" else "note", f"starts, answers, {reach}")


def _folder(name: str, path: Path) -> Diagnosis:
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    writable = os.access(existing, os.W_OK)
    variable = {"configuration": "HELIOTROPE_CONFIG_HOME", "state": "HELIOTROPE_STATE_HOME"}[name]
    advice = "" if writable else f"make {existing} writable or set {variable}"
    return Diagnosis(f"{name} folder", "ok" if writable else "broken", str(path), advice)


def _git() -> Diagnosis:
    found = shutil.which("git")
    if found is None:
        return Diagnosis("git", "note", "not found", "without git, a ledger that is tracked by it cannot be noticed")
    return Diagnosis("git", "ok", found)
