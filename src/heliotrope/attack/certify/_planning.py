"""Which models the checks of certificates run on."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace

from heliotrope.config.schema import ModelConfig
from heliotrope.core.outcomes import NotApplicable
from heliotrope.engine.interface import Planned, Project
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.planning import Need, plan_models

__all__ = ["plan_certificates"]

_NETWORK_MODULES = ("torch", "onnx")


def plan_certificates(
    project: Project,
    *,
    needs: tuple[Need, ...],
    estimate: float,
    wanted: Callable[[ModelConfig], bool] = lambda _model: True,
    keeps: tuple[str, ...] = (),
    requires_networks: bool = False,
) -> Iterator[Planned]:
    """One Planned for each model that is wanted. `keeps`: fields of the model beyond those that every check sees.

    Bounds of ONNX models need torch and onnx, which their extra does not bring: unless `requires_networks`, such a model is
    looked at only where both are there.
    """
    if project.config is None:
        return
    models = {model.name: model for model in project.config.models}
    for planned in plan_models(project, needs=needs, formats=None, keeps=keeps):
        model = models[planned.subject.name]
        if not wanted(model):
            continue
        descriptor = format_of(model)
        extra, modules = planned.extra, planned.modules
        if (descriptor is not None and descriptor.format == "onnx" and "threat" in needs) or requires_networks:
            missing = [name for name in _NETWORK_MODULES if importlib.util.find_spec(name) is None]
            if missing and not requires_networks:
                continue
            extra, modules = "certify", (*modules, *_NETWORK_MODULES)
        outcome = planned.outcome
        if model.task == "tabular-regression":
            outcome = NotApplicable(
                reason="a regression has no classes, so none can be mistaken for another",
                facts=(f"task of {model.name} is tabular-regression",),
            )
        yield replace(
            planned,
            estimate_seconds=estimate,
            extra=extra,
            modules=tuple(dict.fromkeys(modules)),
            outcome=outcome,
        )
