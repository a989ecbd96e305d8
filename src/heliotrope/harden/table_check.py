"""harden.table: a model of a table fitted anew to withstand more, and judged beside what it was."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from heliotrope.config.hardening import HardenConfig
from heliotrope.config.schema import ModelConfig
from heliotrope.core.evidence import Blob
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.predicates.hardening import HardeningPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.harden._result import PartOfRun, concluded
from heliotrope.harden.proving import Comparison, compared
from heliotrope.harden.splitting import held_out_size, split
from heliotrope.harden.tables.bench import ATTACKED_ROWS, Bench, Kept
from heliotrope.harden.tables.carrying import carried_over
from heliotrope.harden.tables.interface import Fitted, Setting
from heliotrope.harden.tables.methods import applied, require_possible, started
from heliotrope.harden.tables.recipes import recipe_of
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.judging import Judgement, judge_named
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, plan_models

__all__ = ["harden_opened_table", "harden_table"]

_SECONDS = 300.0
_METHODS, _JUDGED = 0.5, 0.97
"""Shares of the work until the methods, and the judgements, are through."""

_ORIGINAL, _ALONE, _HARDENED = "the original", "the model refitted alone", "the hardened model"
_BARE = "the hardened model without what stands around it"


def _plan(project: Project) -> Iterator[Planned]:
    needs = ("loader", "input", "output", "data.evaluate", "data.train", "threat")
    for planned in plan_models(project, needs=needs, formats=None, keeps=("harden",)):  # type: ignore[arg-type]
        model = ModelTask.model_validate(planned.parameters.document()).model
        yield replace(planned, estimate_seconds=_SECONDS, outcome=planned.outcome or _not_for(model))


def _not_for(model: ModelConfig) -> NotApplicable | None:
    """What no table can be hardened for, from the configuration alone."""
    descriptor = format_of(model)
    why = {
        "torch": "torch networks are trained by harden.network, on images and arrays",
        "onnx": "an ONNX file holds no way to fit the model anew: harden what it was exported from",
        "endpoint": "a model behind HTTP is known by its answers alone and cannot be fitted anew: harden its file",
    }.get(descriptor.format if descriptor is not None else "")
    if why is not None and descriptor is not None:
        return NotApplicable(reason=why, facts=(f"format of {model.name} is {descriptor.format}",))
    tasks = {
        "tabular-regression": "a regression has no classes, so there is no right answer that an attacker turns over",
        "text-classification": "rewritten texts are not rows with numbers to move: no method here adds them",
    }
    if model.task in tasks:
        return NotApplicable(reason=tasks[model.task], facts=(f"task of {model.name} is {model.task}",))
    return None


@check(
    id="harden.table",
    version="1",
    title="A model of a table fitted to withstand more",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="deep",
    on_request=True,
)
def harden_table(task: Task, context: RunContext) -> CheckResult:
    """Refit on adversarial rows, under constraints, more strictly or behind what clips; judge both models on the same rows.

    Passed: the paired interval of the gain in robust accuracy lies above zero. Failed: it does not, or more clean accuracy is lost than
    is allowed. Inconclusive: the attack on one of the models did not work, or rows of a related model beat it.
    """
    with open_subject(task, train=True) as opened:
        return harden_opened_table(opened, context)


def harden_opened_table(opened: Opened, context: RunContext) -> CheckResult:
    """What `harden.table` does, for a model and data at hand."""
    assert opened.train is not None
    assert opened.parameters.threat is not None
    config = opened.parameters.model.harden or HardenConfig()
    parts = split(opened.train, opened.data, share=config.validation, seed=opened.task.seed)
    bench = Bench(opened, context, parts, opened.parameters.threat.eps)
    recipe = recipe_of(opened, config.parameters, context.workdir)
    require_possible(bench, recipe, config)
    alone = started(bench, recipe)
    kept, stopped = _hardened(bench, alone, config, PartOfRun(context, 0.0, _METHODS, "hardening"))
    seen = _judged(bench, alone, kept, context)
    found = compared(seen.before, seen.after, clean_loss=config.clean_loss)
    refitted = compared(seen.alone, seen.after, clean_loss=config.clean_loss)
    predicate = HardeningPredicate(
        method="+".join(config.tables),
        settings=_settings(bench, kept, alone, config),
        attack=seen.after[1].attack,
        threat=seen.after[1].threat,
        training_rows=len(parts.train),
        validation_rows=len(parts.validate),
        held_out_rows=len(seen.after[1].rows),
        removed_rows=parts.removed,
        rounds=tuple(bench.rounds),
        chosen=kept.number,
        stopped=stopped,
        before=found.before,
        after=found.after,
        refitted=refitted.before,
        clean_change=found.clean,
        robust_change=found.robust,
        verdict=found.verdict,
        reason=found.reason + _apart(refitted),
        model=context.store(kept.fitted.data, kept.recipe.media_type),
        data=opened.data.digests | {f"train/{name}": digest for name, digest in opened.train.digests.items()},
    )
    return concluded(opened, predicate, seen.blobs)


def _hardened(bench: Bench, alone: Kept, config: HardenConfig, context: PartOfRun) -> tuple[Kept, str | None]:
    """All methods, one after the other."""
    kept, reasons = alone, []
    bench.floor = alone.clean - config.clean_loss
    for index, method in enumerate(config.tables):

        def progress(share: float, text: str, *, index: int = index, method: str = method) -> None:
            context.progress(index + share, len(config.tables), f"{method} {text}".strip())

        kept, why = applied(method, bench, kept, config, progress)
        reasons += [f"{method}: {why}"] if why is not None else []
    return kept, "; ".join(reasons) or None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The judgements, all on the same rows."""

    before: tuple[Opened, Judgement]
    alone: tuple[Opened, Judgement]
    after: tuple[Opened, Judgement]
    blobs: tuple[Blob, ...]


def _judged(bench: Bench, alone: Kept, kept: Kept, context: RunContext) -> _Seen:
    """Every model by the same attack, and then by what was found on the others."""
    files: dict[str, Fitted | None] = {_ORIGINAL: None, _ALONE: alone.fitted, _HARDENED: kept.fitted}
    if kept.fitted.bare is not None:
        files[_BARE] = Fitted(kept.fitted.bare)
    judge, size = judge_named("search"), held_out_size(bench.opened)
    opened: dict[str, Opened] = {}
    seen: dict[str, Judgement] = {}
    for index, (name, fitted) in enumerate(files.items()):
        same = next((known for known in opened if fitted is not None and files[known] is fitted), None)
        if same is not None:
            opened[name], seen[name] = opened[same], seen[same]
            continue
        begin = _METHODS + (_JUDGED - _METHODS) * index / len(files)
        part = PartOfRun(context, begin, begin + (_JUDGED - _METHODS) / len(files), name)
        own = bench.opened if fitted is None else bench.reopened(fitted.data, f"judged-{index}{kept.recipe.suffix}")
        opened[name], seen[name] = own, judge(own, part, sample=size)

    def crossed(name: str) -> tuple[Opened, Judgement]:
        others = {other: judged for other, judged in seen.items() if judged is not seen[name]}
        return opened[name], carried_over(opened[name], seen[name], others)

    blobs = tuple(blob for one in seen.values() for blob in one.blobs)
    return _Seen(crossed(_ORIGINAL), crossed(_ALONE), crossed(_HARDENED), blobs)


def _settings(bench: Bench, kept: Kept, alone: Kept, config: HardenConfig) -> dict[str, Setting]:
    return {
        **kept.recipe.settings,
        "rows added": len(kept.rows) - len(alone.rows),
        "rows attacked in a round": ATTACKED_ROWS,
        "questions of a short attack": bench.questions,
        "clean accuracy of round 0": alone.clean,
        "robust accuracy of round 0": alone.robust,
        "clean loss allowed": config.clean_loss,
    }


def _apart(refitted: Comparison) -> str:
    """What of the change is none of hardening's: the original saw other rows, and the library may have drawn otherwise."""
    gain, alone = refitted.robust, refitted.before
    interval = f"{100 * gain.interval.low:+.2f} to {100 * gain.interval.high:+.2f}"
    return (
        f"; refitted alone it has robust accuracy {100 * alone.robust_accuracy:.2f} % and clean accuracy "
        f"{100 * alone.clean_accuracy:.2f} %, from where hardening changes robust accuracy by {100 * gain.change:+.2f} points "
        f"(95 % interval {interval})"
    )
