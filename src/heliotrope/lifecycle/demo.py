"""Building and assessing the examples: what a newcomer sees first, and a check that the whole of it works."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from heliotrope.config.loader import load_yaml_model
from heliotrope.core.errors import InternalError, UsageError
from heliotrope.core.records import Record
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import Assessed, AssessOptions, Observer, assess
from heliotrope.lifecycle.names import LEDGER_NAME, STATE_NAME
from heliotrope.lifecycle.state import write_text
from heliotrope.report import IndexEntry, render_index_html

__all__ = ["DemoRun", "examples_folder", "run_demo", "write_index"]

_BUILD_SECONDS = 600


class _ExampleRun(Record):
    path: str
    """Below the folder that the build script fills."""
    title: str
    description: str
    expect: Literal["allow", "deny", "needs-review"]


class _Example(Record):
    """example.yaml beside each example's build script."""

    version: Literal[1]
    build: str
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

    @property
    def as_expected(self) -> bool:
        return self.assessed is not None and self.assessed.assessment.decision.verdict == self.expected_verdict


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
        built = folder / description.parent.name
        if not absent:
            _build(description.parent / example.build, built)
        for run in example.runs:
            if absent:
                reason = f"needs: pip install 'heliotrope[{example.extra}]'"
                yield DemoRun(run.title, run.description, run.expect, None, reason)
                continue
            target = built / run.path
            reports = folder / "reports" / f"{description.parent.name}-{run.path}".replace("/", "-").rstrip("-.")
            settings = {"report_dir": str(reports), "ledger": str(_own_state(target) / LEDGER_NAME)}
            options = AssessOptions(allow_code=True, fresh=True, settings=settings)
            yield DemoRun(run.title, run.description, run.expect, assess(target, options, observer=observer))


def write_index(folder: Path, runs: list[DemoRun]) -> Path:
    """One page that links all reports."""
    entries = [
        IndexEntry(
            title=run.title,
            description=run.description,
            verdict=run.assessed.assessment.decision.verdict,
            exit_code=run.assessed.assessment.exit_code,
            expected=run.as_expected,
            reason=run.assessed.assessment.decision.reason,
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


def _build(script: Path, out: Path) -> None:
    finished = subprocess.run(  # noqa: S603 - our own script under our own interpreter
        [sys.executable, str(script), str(out)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_BUILD_SECONDS,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if finished.returncode != 0:
        last = finished.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InternalError(f"the example {script.parent.name} cannot be built: {printable(last[0])}")
