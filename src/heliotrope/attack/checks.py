"""Evasion by gradients: the share of inputs that stay right when an attacker may change them a little."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from heliotrope.attack.by_gradients import Method, attack_by_gradients, effective_threat, preset_of, samples_of
from heliotrope.attack.cases import counterexamples
from heliotrope.attack.certify.checks import certificate_bounds, certificate_properties, certificate_smoothing
from heliotrope.attack.decision.check import evasion_boundary
from heliotrope.attack.ensemble.presets import PRESETS
from heliotrope.attack.judging import judge_by_gradients, judge_by_search, judge_by_votes
from heliotrope.attack.search.check import evasion_search
from heliotrope.attack.text.check import evasion_text
from heliotrope.attack.variation.geometry_check import evasion_geometry
from heliotrope.attack.variation.pattern_checks import evasion_patch, evasion_universal
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.planning import ModelTask, is_table, plan_models
from heliotrope.subjects.prepare import prepare

__all__ = [
    "attack_by_gradients",
    "certificate_bounds",
    "certificate_properties",
    "certificate_smoothing",
    "counterexamples",
    "effective_threat",
    "evasion_boundary",
    "evasion_ensemble",
    "evasion_geometry",
    "evasion_patch",
    "evasion_pgd",
    "evasion_search",
    "evasion_text",
    "evasion_universal",
    "judge_by_gradients",
    "judge_by_search",
    "judge_by_votes",
]

_SECONDS_PER_PASS = 1.2e-4
"""Forward and backward of one sample through a network of 150,000 weights on one core."""

_PACKED_PIXELS = 3
"""Pixels for each byte of a compressed file of images."""

_START_SECONDS = 8.0
_UNKNOWN_ROWS = 10_000
_MODULES = ("torch", "numpy", "scipy", "safetensors", "PIL")

_ON_TABLES = NotApplicable(
    reason="tables are attacked by evasion.search, which knows types, ranges and categories",
    facts=("data.evaluate is a table",),
)


def _plan(project: Project, method: Method) -> Iterator[Planned]:
    for planned in plan_models(project, needs=("loader", "input", "output", "data.evaluate", "threat")):
        source = ModelTask.model_validate(planned.parameters.document()).model.data.evaluate
        outcome = _ON_TABLES if source is not None and is_table(source) else None
        yield replace(planned, estimate_seconds=_estimate(planned, method), outcome=planned.outcome or outcome)


@check(
    id="evasion.pgd",
    version="2",
    title="Accuracy under projected gradient descent",
    applies_to="model",
    parameters=ModelTask,
    plan=lambda project: _plan(project, "pgd"),
    cost="quick",  # the quick suite runs it, with fewer samples, steps and restarts
    runs_project_code=True,
    extra="torch",
    modules=_MODULES,
)
def evasion_pgd(task: Task, context: RunContext) -> CheckResult:
    """Attack evaluation samples by PGD. Inconclusive when a health indicator failed; floors are for policy to set."""
    return attack_by_gradients(task, prepare(task), context)


@check(
    id="evasion.ensemble",
    version="1",
    title="Accuracy under several attacks together",
    applies_to="model",
    parameters=ModelTask,
    plan=lambda project: _plan(project, "ensemble"),
    cost="standard",
    runs_project_code=True,
    extra="torch",
    modules=_MODULES,
)
def evasion_ensemble(task: Task, context: RunContext) -> CheckResult:
    """The pointwise worst case of Auto-PGD with several losses and Square attack, with a proof in between where it pays.

    Auto-PGD climbs cross-entropy, logits ratio or margin, then target by target. The standard suite takes 500 samples unless
    `sample` says otherwise, 50 steps, one restart, 3 targets and 2,000 questions; the deep suite all samples, what is
    configured, 9 targets and 5,000 questions. Inconclusive when a health indicator failed; floors are for policy to set.
    """
    return attack_by_gradients(task, prepare(task), context, "ensemble")


def _estimate(planned: Planned, method: Method) -> float:
    """Seconds on one core, guessed from file sizes; right within a factor of a few."""
    parameters = ModelTask.model_validate(planned.parameters.document())
    if parameters.threat is None or parameters.model.input is None or parameters.model.input.shape is None:
        return 0.0
    threat = effective_threat(parameters, method)
    images = next((planned.inputs[name] for name in ("images", "data") if name in planned.inputs), None)
    rows = max(100, int(_PACKED_PIXELS * _file_size(images) / math.prod(parameters.model.input.shape)))
    samples = samples_of(parameters, rows if _file_size(images) else _UNKNOWN_ROWS, method)
    each = threat.steps * threat.restarts
    if method == "ensemble":
        each = PRESETS[preset_of(parameters)].forwards(threat.steps, threat.restarts, classes=10) // 2
    passes = samples * each
    return _START_SECONDS + passes * _SECONDS_PER_PASS * max(_file_size(planned.inputs.get("weights")) / 6e5, 0.2)


def _file_size(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.is_file() else 0
