"""Checks of models in one decorator: what they look at is opened, whatever its kind, and handed over ready to be asked.

The inner function sees an `Opened` and nothing of files or configuration, so that the same check runs on a model of
heliotrope.yaml in a worker and on live objects of a Python program.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from heliotrope.config.schema import ModelConfig, ModelFormat
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import CostClass, Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, Need, plan_models

__all__ = ["ModelCheck", "OpenedFunction", "model_check", "model_checks"]

OpenedFunction = Callable[[Opened, RunContext], CheckResult]


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """A check by its inner function, for those who have the model at hand."""

    id: str
    version: str
    title: str
    needs: tuple[Need, ...]
    function: OpenedFunction
    excludes: Callable[[ModelConfig], NotApplicable | None]
    formats: tuple[ModelFormat, ...] | None


_registered: dict[str, ModelCheck] = {}


def model_check(
    *,
    id: str,  # noqa: A002 - the field's name everywhere
    version: str,
    title: str,
    needs: tuple[Need, ...] = ("loader", "input", "output", "data.evaluate"),
    cost: CostClass = "quick",
    estimate: Callable[[Planned], float] | float = 8.0,
    excludes: Callable[[ModelConfig], NotApplicable | None] | None = None,
    formats: tuple[ModelFormat, ...] | None = None,
    sampled: bool = False,
) -> Callable[[OpenedFunction], OpenedFunction]:
    """Register a check of models that runs in a worker.

    `excludes` says from the configuration alone that a model is none of its objects, with the facts that prove it.
    `formats` None: models of every format. `estimate` is seconds, or a function of what is planned.
    """
    nothing: Callable[[ModelConfig], NotApplicable | None] = lambda _: None  # noqa: E731 - typed once, used twice
    excluded = excludes or nothing

    def plan(project: Project) -> Iterator[Planned]:
        for planned in plan_models(project, needs=needs, formats=formats, sampled=sampled):
            seconds = estimate(planned) if callable(estimate) else estimate
            outcome = excluded(ModelTask.model_validate(planned.parameters.document()).model)
            yield replace(planned, estimate_seconds=seconds, outcome=planned.outcome or outcome)

    def register(function: OpenedFunction) -> OpenedFunction:
        def run(task: Task, context: RunContext) -> CheckResult:
            with open_subject(task, train="data.train" in needs, reference="reference" in needs) as opened:
                return function(opened, context)

        run.__doc__, run.__module__, run.__name__ = function.__doc__, function.__module__, function.__name__
        check(
            id=id,
            version=version,
            title=title,
            applies_to="model",
            parameters=ModelTask,
            plan=plan,
            cost=cost,
        )(run)
        _registered[id] = ModelCheck(id, version, title, needs, function, excluded, formats)
        return function

    return register


def model_checks() -> tuple[ModelCheck, ...]:
    """Those registered so far, by id; `heliotrope.engine.registry.checks` loads the plug-ins that register them."""
    return tuple(_registered[key] for key in sorted(_registered))
