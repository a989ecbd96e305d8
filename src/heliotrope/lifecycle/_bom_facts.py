"""From inventory, configuration, packages and assessment to what a bill of materials is drawn from."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import dirname, normpath

from heliotrope.config.schema import DataSource, ModelConfig
from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import DependenciesPredicate
from heliotrope.core.predicates.inventory import FileRole, InventoryPredicate
from heliotrope.core.predicates.scan import SCAN_PREDICATE
from heliotrope.core.subjects import subject_urn
from heliotrope.core.text import counted, printable
from heliotrope.engine.files import digest_tree, is_folder, sha256_file, tree_digest
from heliotrope.engine.interface import Project
from heliotrope.report import BomAssessment, BomData, BomEvidence, BomFacts, BomFile, BomModel

__all__ = ["gather_facts"]

_PATH_KEYS = ("path", "images", "labels")
"""Keys of a data source that name files."""

_ONE_BY_ONE = 20
"""Files of one folder that are told one by one; image folders and shards are told as a whole."""


@dataclass(frozen=True, slots=True)
class _Part:
    files: tuple[BomFile, ...]
    tree: str | None = None


@dataclass(slots=True)
class _Gathering:
    project: Project
    files: dict[str, BomFile]
    roles: dict[str, FileRole]
    missing: list[str] = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    """Digests of everything that lies here now."""
    taken: set[str] = field(default_factory=set)
    """Paths that belong to a declared model or data set."""
    data: dict[str, BomData] = field(default_factory=dict)
    inspections: "tuple[_Inspection, ...]" = ()


@dataclass(frozen=True, slots=True)
class _Inspection:
    """Evidence of a static inspection, by the files it judged."""

    id: str
    subject: frozenset[str]
    verdicts: dict[str, set[str]]
    """Digest of a file to what was found of it; equal files may be judged by different names."""


def gather_facts(
    project: Project,
    *,
    inventory: InventoryPredicate | None,
    dependencies: DependenciesPredicate | None,
    assessment: Assessment | None,
    remarks: tuple[str, ...],
    tool_version: str,
) -> BomFacts:
    """Put together what is known. What was measured counts only for bytes that are still here unchanged."""
    listed = inventory.files if inventory is not None else ()
    gathering = _Gathering(
        project,
        {item.artifact.path: BomFile(item.artifact.path, item.artifact.sha256, item.artifact.size) for item in listed},
        {item.artifact.path: item.role for item in listed},
        list(remarks),
    )
    gathering.present = {file.sha256 for file in gathering.files.values()}
    gathering.inspections = tuple(_inspections(assessment))
    if inventory is None:
        gathering.missing.append("there is no inventory of the files (supply.inventory did not run)")
    else:
        gathering.present.add(inventory.tree_digest)
    declared = [_declared_model(gathering, model) for model in (project.config.models if project.config else ())]
    models = [_measured(gathering, model, assessment) for model in declared]
    models += _other_models(gathering)
    gathering.data |= {item.name: item for item in _other_data(gathering)}
    complete = _say_unread(gathering, inventory, dependencies)
    if assessment is not None:
        gathering.missing += [
            f"{run.check}: {run.outcome}: {run.reason}"
            for run in assessment.runs
            if run.outcome in {"error", "inconclusive", "skipped"}
        ]
    return BomFacts(
        project=project.name,
        tool_version=tool_version,
        tree=inventory.tree_digest if inventory is not None else None,
        models=tuple(models),
        data=tuple(gathering.data.values()),
        dependencies=dependencies,
        evidence=tuple(_project_evidence(gathering, assessment)),
        assessment=_reference(assessment),
        missing=tuple(gathering.missing),
        complete=complete,
    )


def _reference(assessment: Assessment | None) -> BomAssessment | None:
    if assessment is None:
        return None
    return BomAssessment(assessment.id, assessment.finished_at, assessment.decision.verdict, assessment.ledger.head)


def _say_unread(
    gathering: _Gathering, inventory: InventoryPredicate | None, dependencies: DependenciesPredicate | None
) -> bool:
    """Whether everything was read; what was not is told."""
    problems = [(item.path, item.reason) for item in inventory.problems] if inventory is not None else []
    unread = [(item.path, item.reason) for item in dependencies.problems] if dependencies is not None else []
    for what, found in (("not in the inventory", problems), ("not read as packages", unread)):
        if found:
            path, reason = found[0]
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            gathering.missing.append(f"{what}: {printable(path)}: {printable(reason)}{more}")
    if dependencies is None:
        gathering.missing.append("the packages are not known (supply.dependencies did not run)")
    elif not dependencies.files and dependencies.python_code:
        gathering.missing.append("no file says which packages the code needs")
    elif dependencies.files and not any(file.role == "installed" for file in dependencies.files):
        gathering.missing.append("licences are not known: no installed environment was read (--environment)")
    return inventory is not None and dependencies is not None and not problems and not unread


def _declared_model(gathering: _Gathering, model: ModelConfig) -> BomModel:
    part = _part(gathering, model.path) if model.path is not None else _Part(())
    if model.path is None:
        gathering.missing.append(f"model {model.name}: heliotrope.yaml does not name its file (path)")
    elif not part.files:
        gathering.missing.append(f"model {model.name}: {printable(model.path)} is not there or cannot be read")
    data: list[tuple[str, str]] = []
    for role in type(model.data).model_fields:
        source = getattr(model.data, role)
        if isinstance(source, DataSource):
            data.append((role, _declared_data(gathering, source).name))
        else:
            gathering.missing.append(f"model {model.name}: heliotrope.yaml does not name data.{role}")
    if model.task is None:
        gathering.missing.append(f"model {model.name}: heliotrope.yaml does not name its task")
    taken = model.input.model_dump(mode="json", exclude_none=True) if model.input is not None else {}
    inputs = ", ".join(f"{key} {json.dumps(value)}" for key, value in taken.items())
    return BomModel(
        name=model.name,
        declared=True,
        files=part.files,
        tree=part.tree,
        format=model.format,
        task=model.task,
        inputs=(inputs,) if inputs else (),
        outputs=(str(model.output),) if model.output is not None else (),
        data=tuple(data),
    )


def _declared_data(gathering: _Gathering, source: DataSource) -> BomData:
    paths = [path for key in _PATH_KEYS if isinstance(path := getattr(source, key, None), str)]
    name = ", ".join(normpath(path) for path in paths) or "unnamed"
    if name not in gathering.data:
        parts = [_part(gathering, path) for path in paths]
        trees = [part.tree for part in parts if part.tree is not None]
        files = tuple(file for part in parts for file in part.files)
        if not files:
            gathering.missing.append(f"data {printable(name)}: is not there or cannot be read")
        gathering.data[name] = BomData(name, declared=True, files=files, tree=trees[0] if len(trees) == 1 else None)
    return gathering.data[name]


def _part(gathering: _Gathering, path: str) -> _Part:
    """The file, or the files of the folder, that a path names: from the inventory, else read where it lies."""
    name = normpath(path)
    if name in gathering.files:
        gathering.taken.add(name)
        return _Part((gathering.files[name],))
    below = [file for item, file in gathering.files.items() if name == "." or item.startswith(f"{name}/")]
    if not below:
        return _outside(gathering, name)
    gathering.taken.update(file.path for file in below)
    prefix = 0 if name == "." else len(name) + 1
    tree = tree_digest((file.path[prefix:], file.size, file.sha256) for file in below)
    gathering.present.add(tree)
    return _Part(tuple(below), tree)


def _outside(gathering: _Gathering, name: str) -> _Part:
    """What heliotrope.yaml names outside the project or in a folder that is passed over."""
    target = Path(gathering.project.root, name)
    try:
        if is_folder(target):
            found = digest_tree(target)
            files = tuple(BomFile(f"{name}/{item.file.relative}", item.sha256, item.file.size) for item in found.files)
            tree = found.digest if files and not found.problems else None
        else:
            digest = sha256_file(target)
            files, tree = (BomFile(name, digest.sha256, digest.size),), None
    except InputError:
        return _Part(())  # the caller says so
    gathering.present.update(file.sha256 for file in files)
    gathering.present.update({tree} if tree is not None else ())
    return _Part(files, tree)


def _measured(gathering: _Gathering, model: BomModel, assessment: Assessment | None) -> BomModel:
    """The model with what was measured, unless anything that the measurement rests on has changed since."""
    if assessment is None:
        return model
    urn = subject_urn(gathering.project.name, "model", model.name)
    runs = [run for run in assessment.runs if run.subject == urn]
    changed = sorted({name for run in runs for name, digest in run.inputs.items() if digest not in gathering.present})
    if changed:
        gathering.missing.append(
            f"model {model.name}: assessment {assessment.id} is about other bytes, so its measurements are left out: "
            f"{printable(changed[0])}{f' and {len(changed) - 1} more' if len(changed) > 1 else ''} changed since"
        )
        return model
    measurements = tuple(item for item in assessment.measurements if item.subject == urn)
    if not measurements:
        gathering.missing.append(f"model {model.name}: nothing was measured (assessment {assessment.id})")
    scans = _scans(gathering, {file.sha256 for file in model.files})
    return replace(model, measurements=measurements, evidence=(*_run_evidence(assessment, runs), *scans))


def _run_evidence(assessment: Assessment, runs: list[RunEntry]) -> Iterator[BomEvidence]:
    kept = {entry.id for entry in assessment.evidence}
    for run in runs:
        for digest in run.evidence:
            if digest in kept:
                yield BomEvidence(digest, "attestation", f"{run.title} ({run.check}), run {run.id}")


def _inspections(assessment: Assessment | None) -> Iterator[_Inspection]:
    for entry in assessment.evidence if assessment is not None else ():
        if entry.predicate_type == SCAN_PREDICATE:
            verdicts: dict[str, set[str]] = defaultdict(set)
            for file in entry.predicate.get("files", ()):
                verdicts[file.get("sha256")].add(file["verdict"])
            yield _Inspection(entry.id, frozenset(entry.subject.values()), dict(verdicts))


def _scans(gathering: _Gathering, digests: set[str]) -> Iterator[BomEvidence]:
    """Static inspections of exactly these bytes."""
    for inspection in gathering.inspections:
        if digests & inspection.subject:
            verdicts = sorted(set[str]().union(*(inspection.verdicts.get(digest, set()) for digest in digests)))
            title = f"Static inspection of the model file (scan.files): {', '.join(verdicts)}"
            yield BomEvidence(inspection.id, "static-analysis-report", title)


def _other_models(gathering: _Gathering) -> Iterator[BomModel]:
    for path, file in gathering.files.items():
        if gathering.roles[path] == "model" and path not in gathering.taken:
            scans = tuple(_scans(gathering, {file.sha256}))
            yield BomModel(name=path, declared=False, files=(file,), evidence=scans)


def _other_data(gathering: _Gathering) -> Iterator[BomData]:
    folders: dict[str, list[BomFile]] = defaultdict(list)
    for path, file in gathering.files.items():
        if gathering.roles[path] == "data" and path not in gathering.taken:
            folders[dirname(path)].append(file)
    for folder, files in folders.items():
        if len(files) <= _ONE_BY_ONE:
            yield from (BomData(file.path, declared=False, files=(file,)) for file in files)
        else:
            tree = tree_digest((file.path, file.size, file.sha256) for file in files)
            name = f"{counted(len(files), 'file')} in {folder or '.'}"
            yield BomData(name, declared=False, files=tuple(files), tree=tree)


def _project_evidence(gathering: _Gathering, assessment: Assessment | None) -> Iterator[BomEvidence]:
    """Reports on the whole project that are about what lies here now."""
    if assessment is None:
        return
    urn = subject_urn(gathering.project.name, "project", gathering.project.name)
    for run in assessment.runs:
        if run.subject == urn and all(digest in gathering.present for digest in run.inputs.values()):
            for digest in run.evidence:
                title = f"{run.title} ({run.check}), run {run.id}"
                yield BomEvidence(digest, "static-analysis-report", title)
