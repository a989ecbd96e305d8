"""Which checks run on what: selection by --only, --skip and suite, and an estimate of how long it will take."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from heliotrope.core.errors import ConfigError, HeliotropeError, UsageError
from heliotrope.core.outcomes import Errored, Outcome, Skipped
from heliotrope.core.records import Record
from heliotrope.core.runs import Run
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.interface import CheckDescriptor, Planned, Project
from heliotrope.engine.registry import checks
from heliotrope.ledger.interface import Ledger, PrunedError

__all__ = ["PlannedRun", "Selection", "estimate_seconds", "plan", "project_subject"]

_SUITES = ("quick", "standard", "deep")


class _NoParameters(Record):
    """For a check whose plan could not be made."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person asked for; patterns are ids or shell-style wildcards, as in evasion.*."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    configured_skip: tuple[str, ...] = ()
    """What checks.skip of heliotrope.yaml names."""
    models: tuple[str, ...] = ()
    """Names of the models that are meant; none: all, and what is no model."""

    def require_known(self, known: Sequence[str]) -> None:
        """UsageError for a pattern that matches no check, ConfigError where it stands in heliotrope.yaml."""
        for where, patterns in (("--only", self.only), ("--skip", self.skip), ("checks.skip", self.configured_skip)):
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in known):
                    kind = ConfigError if where == "checks.skip" else UsageError
                    raise kind(f"{where}: no check is called {pattern!r}", hint=f"known checks: {', '.join(known)}")

    def require_models(self, known: Sequence[str]) -> None:
        """UsageError for a model that heliotrope.yaml does not have."""
        for name in self.models:
            if name not in known:
                hint = f"models of heliotrope.yaml: {', '.join(known)}" if known else "heliotrope.yaml names no models"
                raise UsageError(f"no model is called {name!r}", hint=hint)

    def excludes_subject(self, subject: Subject) -> str | None:
        """Why a subject is left out, or None."""
        if self.models and (subject.kind != "model" or subject.name not in self.models):
            return "not a model that was named"
        return None

    def asks_for(self, check: str) -> bool:
        """Whether the check is named, by more than a wildcard for everything."""
        return any(fnmatchcase(check, pattern) for pattern in self.only if pattern.strip("*"))

    def excludes(self, check: str) -> str | None:
        """Why a check is left out, or None."""
        if self.only and not any(fnmatchcase(check, pattern) for pattern in self.only):
            return "not named by --only"
        if any(fnmatchcase(check, pattern) for pattern in (*self.skip, *self.configured_skip)):
            return "left out by --skip or checks.skip"
        return None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A check on a subject; `preset` says why it will not even start."""

    descriptor: CheckDescriptor
    planned: Planned
    preset: Outcome | None = None


def project_subject(project: Project) -> Subject:
    return Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name)


def plan(project: Project, selection: Selection) -> list[PlannedRun]:
    """Every run of this assessment in the order in which it happens: project first, cheap first."""
    descriptors = sorted(checks(), key=lambda item: (item.applies_to != "project", _SUITES.index(item.cost), item.id))
    selection.require_known([descriptor.id for descriptor in descriptors])
    selection.require_models([model.name for model in project.config.models] if project.config else [])
    wanted = [one for one in descriptors if not one.on_request or selection.asks_for(one.id)]
    return [run for descriptor in wanted for run in _plan_check(descriptor, project, selection)]


def _plan_check(descriptor: CheckDescriptor, project: Project, selection: Selection) -> list[PlannedRun]:
    try:
        planned = list(descriptor.plan(project))
    except HeliotropeError:
        raise
    except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way; the others go on
        broken = Errored(kind="exception", reason=f"its plan failed: {type(error).__name__}: {error}")
        nothing = Planned(subject=project_subject(project), parameters=_NoParameters())
        return [PlannedRun(descriptor, nothing, broken)]
    return [PlannedRun(descriptor, item, _preset(descriptor, item, project, selection)) for item in planned]


def _preset(descriptor: CheckDescriptor, planned: Planned, project: Project, selection: Selection) -> Outcome | None:
    reason = selection.excludes(descriptor.id) or selection.excludes_subject(planned.subject)
    if reason is not None:
        return Skipped(code="deselected", reason=reason)
    if not descriptor.on_request and _SUITES.index(descriptor.cost) > _SUITES.index(project.suite):
        return Skipped(code="suite", reason=f"not part of the {project.suite} suite: use --suite {descriptor.cost}")
    return None


def estimate_seconds(runs: Sequence[PlannedRun], ledger: Ledger) -> float:
    """Wall time to expect: what the same check took last time on this subject, else what its plan says."""
    return sum(_estimate(run, ledger) for run in runs if run.preset is None and not run.planned.missing)


def _estimate(run: PlannedRun, ledger: Ledger) -> float:
    found = ledger.latest("run", "cost", f"{run.descriptor.id} {run.planned.subject.urn}")
    if found is not None:
        with suppress(PrunedError):
            wall = Run.model_validate_json(ledger.content(found.content_id)).cost.wall_seconds
            if wall > 0:
                return wall
    return run.planned.estimate_seconds
