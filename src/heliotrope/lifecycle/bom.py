"""The bill of materials of a project: what lies there now, what heliotrope.yaml declares, and what the ledger knows of these bytes."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import heliotrope
from heliotrope.core.assessments import Assessment
from heliotrope.core.errors import LedgerError
from heliotrope.core.ids import Clock, IdSource, SystemClock, UlidSource, timestamp
from heliotrope.core.predicates.dependencies import DEPENDENCIES_PREDICATE, DependenciesPredicate
from heliotrope.core.predicates.inventory import INVENTORY_PREDICATE, InventoryPredicate
from heliotrope.core.records import Record
from heliotrope.engine.files import is_present
from heliotrope.engine.interface import Project
from heliotrope.ledger import open_ledger
from heliotrope.ledger.interface import Ledger
from heliotrope.ledger.ownership import require_own
from heliotrope.lifecycle._bom_facts import gather_facts
from heliotrope.lifecycle.assembly import target_key
from heliotrope.lifecycle.comparison import load_baseline, previous_assessment
from heliotrope.lifecycle.names import LEDGER_NAME
from heliotrope.lifecycle.target import Target, resolve_target
from heliotrope.report import render_bom
from heliotrope.supply.dependencies.collecting import (
    RUNNING,
    find_dependency_files,
    read_dependencies,
    read_environment,
)
from heliotrope.supply.inventory import take_inventory

__all__ = ["CURRENT", "Bom", "BomOptions", "assessed_bom", "make_bom"]

PredicateT = TypeVar("PredicateT", bound=Record)

CURRENT = "current"
"""As --environment: the packages of the interpreter that runs us."""


@dataclass(frozen=True, slots=True)
class BomOptions:
    """What the person chose."""

    config_file: Path | None = None
    ledger: str | None = None
    run: str | None = None
    """Id of an assessment, or `last`; without one, the last assessment of this project if there is a ledger."""
    environment: str | None = None
    """Folder of a virtual environment, or `current`."""


@dataclass(frozen=True, slots=True)
class Bom:
    """The document, what it does not say, and whether all that is there could be read."""

    text: str
    missing: tuple[str, ...]
    complete: bool


def make_bom(path: Path, options: BomOptions, *, clock: Clock | None = None, ids: IdSource | None = None) -> Bom:
    """Look at a project, a folder or a file, and write its bill of materials.

    Nothing of the project is imported, and no ledger is written. Raises UsageError, ConfigError, InputError, and LedgerError
    for a ledger that was asked for and cannot be read.
    """
    clock, ids = clock or SystemClock(), ids or UlidSource()
    target = resolve_target(path, config_file=options.config_file, options={"ledger": options.ledger})
    project = target.project
    remarks: list[str] = []
    assessment = _assessment(target, options, remarks)
    inventory = take_inventory(project.root, tuple(item.relative_to(project.root).as_posix() for item in project.paths))
    dependencies = _dependencies(project, options.environment)
    return _bom(
        project,
        inventory,
        dependencies,
        assessment,
        serial=ids.new(),
        moment=timestamp(clock.now()),
        remarks=tuple(remarks),
    )


def assessed_bom(project: Project, assessment: Assessment) -> Bom:
    """The bill of materials that belongs to an assessment, from the evidence in it: equal assessments have equal ones."""
    return _bom(
        project,
        _evidence(assessment, INVENTORY_PREDICATE, InventoryPredicate),
        _evidence(assessment, DEPENDENCIES_PREDICATE, DependenciesPredicate),
        assessment,
        serial=assessment.id,
        moment=assessment.finished_at,
    )


def _bom(
    project: Project,
    inventory: InventoryPredicate | None,
    dependencies: DependenciesPredicate | None,
    assessment: Assessment | None,
    *,
    serial: str,
    moment: str,
    remarks: tuple[str, ...] = (),
) -> Bom:
    facts = gather_facts(
        project,
        inventory=inventory,
        dependencies=dependencies,
        assessment=assessment,
        remarks=remarks,
        tool_version=heliotrope.__version__,
    )
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:heliotrope:bom:{serial}")
    return Bom(render_bom(facts, serial=str(number), moment=moment), facts.missing, facts.complete)


def _evidence(assessment: Assessment, predicate_type: str, model: type[PredicateT]) -> PredicateT | None:
    found = (entry for entry in assessment.evidence if entry.predicate_type == predicate_type)
    entry = next(found, None)
    return model.model_validate(entry.predicate) if entry is not None else None


def _dependencies(project: Project, environment: str | None) -> DependenciesPredicate:
    named = project.config.dependencies if project.config is not None else ()
    read = read_dependencies(project.root, find_dependency_files(project.root, project.paths, named))
    if environment is None:
        return read
    folder = None if environment == CURRENT else Path(environment)
    file, problems = read_environment(folder, RUNNING if folder is None else "environment")
    return read.model_copy(update={"files": (*read.files, file), "problems": (*read.problems, *problems)})


def _assessment(target: Target, options: BomOptions, remarks: list[str]) -> Assessment | None:
    """The assessment asked for, or the last one if there is a ledger of one's own; why there is none is a remark."""
    own = target.state / LEDGER_NAME
    location = target.settings.ledger.value
    if location is None and not is_present(own):
        if options.run is not None:
            raise LedgerError(
                "--run: there is no ledger here", hint="run helio assess first, or name a ledger with --ledger"
            )
        remarks.append("there is no ledger here: how the models behave is not known (helio assess measures it)")
        return None
    try:
        if location is None:
            require_own(own)
        with _verified(location or str(own)) as ledger:
            if options.run is not None:
                return load_baseline(ledger, options.run, target_key(target), option="--run")
            found = previous_assessment(ledger, target_key(target))
    except LedgerError as error:
        if location is not None or options.run is not None or error.code != LedgerError.code:
            raise
        remarks.append(f"the ledger here is not used: {error.reason()}")
        return None
    if found is None:
        remarks.append("the ledger holds no assessment of this: how the models behave is not known")
    return found


@contextmanager
def _verified(location: str) -> Iterator[Ledger]:
    with open_ledger(location) as ledger:
        ledger.verify(ledger.remembered_head())
        yield ledger
