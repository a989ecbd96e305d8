"""Building and assessing the examples: what a newcomer sees first, and a check that the whole of it works."""

import importlib.util
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from heliotrope.config.loader import load_config, load_yaml_model
from heliotrope.core.errors import InternalError, UsageError
from heliotrope.core.records import Record
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import Assessed, AssessOptions, Observer, assess
from heliotrope.lifecycle.hardening import HARDENING, Hardened, harden_exit_code, hardened_models, write_model
from heliotrope.lifecycle.names import CONFIG_NAME, LEDGER_NAME, STATE_NAME
from heliotrope.lifecycle.planning import Selection
from heliotrope.lifecycle.state import write_text
from heliotrope.report import IndexEntry, render_index_html

__all__ = ["DemoRun", "examples_folder", "run_demo", "write_index"]

_BUILD_SECONDS = 600
_READY_SECONDS = 60


class _ExampleRun(Record):
    path: str
    """Below the folder that the build script fills."""
    title: str
    description: str
    expect: Literal["allow", "deny", "needs-review", "better"]
    """better: of a run that hardens."""
    harden: str | None = None
    """Harden the models of `path` instead of assessing it, and put the project with the hardened ones there."""


class _Example(Record):
    """example.yaml beside each example's build script."""

    version: Literal[1]
    build: str
    serve: str | None = None
    """A script that serves what was built while it is assessed; it prints `ready` when it can be asked."""
    modules: tuple[str, ...] = ()
    """Python modules the build needs."""
    extra: str = "examples"
    runs: Annotated[tuple[_ExampleRun, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One assessed example, or why it could not be built."""

    title: str
    description: str
    expected_verdict: str
    assessed: Assessed | None
    skipped: str = ""
    hardening: Hardened | None = None

    @property
    def verdict(self) -> str:
        """Of the assessment, or of the hardening; empty where there was neither."""
        if self.hardening is not None:
            return self.hardening.found.verdict
        return self.assessed.assessment.decision.verdict if self.assessed is not None else ""

    @property
    def reason(self) -> str:
        """Why."""
        if self.hardening is not None:
            return self.hardening.found.reason
        return self.assessed.assessment.decision.reason if self.assessed is not None else self.skipped

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected_verdict


def examples_folder() -> Path:
    """The examples of the installed package, or of the source checkout it is installed from."""
    packaged = Path(str(files("heliotrope"))) / "_examples"
    checkout = Path(str(files("heliotrope"))).parent.parent / "examples"
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise UsageError("the examples are not installed", hint="install heliotrope from a wheel or a source checkout")


def run_demo(folder: Path, observer: Observer | None = None) -> Iterator[DemoRun]:
    """Build every example below `folder` and assess it with consent: the code is our own."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{printable(str(folder))} cannot be made: {error.strerror}", hint="name another folder"
        ) from None
    for description in sorted(examples_folder().glob("*/example.yaml")):
        example = load_yaml_model(description, _Example).value
        absent = [module for module in example.modules if importlib.util.find_spec(module) is None]
        if absent:
            reason = f"needs: pip install 'heliotrope[{example.extra}]'"
            yield from (DemoRun(run.title, run.description, run.expect, None, reason) for run in example.runs)
            continue
        built = folder / description.parent.name
        _build(description.parent / example.build, built)
        with _served(description.parent / example.serve if example.serve else None, built):
            for run in example.runs:
                name = f"{description.parent.name}-{run.path}" + ("-hardening" if run.harden is not None else "")
                reports = folder / "reports" / name.replace("/", "-").rstrip("-.")
                if run.harden is not None:
                    yield _hardened(run, built / run.path, built / run.harden, reports, observer)
                else:
                    yield _assessed(run, built / run.path, reports, observer)


def _assessed(run: _ExampleRun, target: Path, reports: Path, observer: Observer | None) -> DemoRun:
    settings = {"report_dir": str(reports), "ledger": str(_own_state(target) / LEDGER_NAME)}
    options = AssessOptions(allow_code=True, fresh=True, settings=settings)
    return DemoRun(run.title, run.description, run.expect, assess(target, options, observer=observer))


def _hardened(run: _ExampleRun, source: Path, target: Path, reports: Path, observer: Observer | None) -> DemoRun:
    """Harden the one model of a project, and write the project again with the hardened weights in place of its own."""
    settings = {"report_dir": str(reports), "ledger": str(_own_state(source) / LEDGER_NAME)}
    options = AssessOptions(allow_code=True, fresh=True, settings=settings, selection=Selection(only=HARDENING))
    assessed = assess(source, options, observer=observer)
    found = hardened_models(assessed.assessment)
    if not found:
        reasons = [one.reason for one in assessed.assessment.runs if one.check.startswith("harden.") and one.reason]
        return DemoRun(run.title, run.description, run.expect, None, "; ".join(reasons))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(STATE_NAME), dirs_exist_ok=True)
    (model,) = load_config(source / CONFIG_NAME).config.models
    assert model.path is not None
    (target / model.path).unlink()
    write_model(found[0], target / model.path, target, assessed.read_blob)
    return DemoRun(run.title, run.description, run.expect, assessed, hardening=found[0])


def write_index(folder: Path, runs: list[DemoRun]) -> Path:
    """One page that links all reports."""
    entries = [
        IndexEntry(
            title=run.title,
            description=run.description,
            verdict=run.verdict,
            exit_code=harden_exit_code(run.assessed.assessment) if run.hardening else run.assessed.assessment.exit_code,
            expected=run.as_expected,
            reason=run.reason,
            href=run.assessed.reports["html"].relative_to(folder).as_posix(),
        )
        for run in runs
        if run.assessed is not None
    ]
    index = folder / "index.html"
    write_text(index, render_index_html(entries))
    return index


def _own_state(target: Path) -> Path:
    state = target / STATE_NAME
    state.mkdir(parents=True, exist_ok=True)
    return state


@contextmanager
def _served(script: Path | None, out: Path) -> Iterator[None]:
    """A server of an example, from when it says that it is ready until the end. It dies with whoever leaves."""
    if script is None:
        yield
        return
    with tempfile.TemporaryFile() as errors:
        server = subprocess.Popen(  # noqa: S603 - our own script under our own interpreter
            [sys.executable, str(script), str(out)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
        )
        assert server.stdout is not None
        try:
            ready, _, _ = select.select([server.stdout], [], [], _READY_SECONDS)
            if not ready or server.stdout.readline().strip() != b"ready":
                server.kill()
                server.wait()
                errors.seek(0)
                last = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
                raise InternalError(f"the example {script.parent.name} cannot be served: {printable(last[0])}")
            yield
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def _build(script: Path, out: Path) -> None:
    finished = subprocess.run(  # noqa: S603 - our own script under our own interpreter
        [sys.executable, str(script), str(out)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_BUILD_SECONDS,
        check=False,
        env=_environment(),
    )
    if finished.returncode != 0:
        last = finished.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InternalError(f"the example {script.parent.name} cannot be built: {printable(last[0])}")
