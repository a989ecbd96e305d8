"""Running the command line as a person does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HELIO = Path(sys.executable).with_name("helio")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def helio(tmp_path: Path):
    """Run helio in a folder of its own, with HELIOTROPE_ homes of its own."""

    def run(
        *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 240
    ) -> Said:
        finished = subprocess.run(
            [HELIO, *map(str, arguments)],
            cwd=cwd or tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        said = Said(
            finished.returncode, finished.stdout.decode("utf-8", "strict"), finished.stderr.decode("utf-8", "replace")
        )
        assert "Traceback" not in said.err, said.err
        return said

    return run


@pytest.fixture
def reports():
    """The texts of the six reports in the one report folder below a state folder."""

    def read(state: Path) -> dict[str, str]:
        (folder,) = sorted((state / "reports").iterdir())[-1:]
        return {path.name: path.read_text("utf-8") for path in folder.iterdir()}

    return read


LEDGERS = {"sqlite": lambda project: str(project.parent / "ledger.db")}
"""Kinds of ledgers that faults are tried with. A kind that needs a server is one entry more, which gives its URL."""


@pytest.fixture(params=LEDGERS)
def ledger_location(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """What --ledger says for a project."""
    return LEDGERS[request.param]
