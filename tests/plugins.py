"""A plug-in package made on the spot, installed the way a real one is: a module, metadata and an entry point."""

import textwrap
from pathlib import Path

__all__ = ["install_plugin"]

_HEAD = """
import os, sys, time
from heliotrope.core.errors import InputError
from heliotrope.core.findings import Finding, fingerprint
from heliotrope.core.outcomes import *
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.interface import Planned
from heliotrope.engine.registry import check


class Parameters(Record):
    pass


def plan(project):
    urn = subject_urn(project.name, "project", project.name)
    yield Planned(subject=Subject(urn=urn, kind="project", name=project.name), parameters=Parameters())


def register(id, **more):
    more = {"version": "1", "title": id, "applies_to": "project", "parameters": Parameters, "plan": plan} | more
    return check(id=id, **more)
"""


def install_plugin(folder: Path, name: str, body: str) -> Path:
    """Write `name` with its checks below `folder`; put `folder` on the import path to have it found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(_HEAD + textwrap.dedent(body))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[heliotrope.plugins]\n{name} = {name}\n")
    return folder
