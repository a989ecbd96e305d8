"""harden.network: a torch network trained to be more robust, and judged beside what it was."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope import __version__
from heliotrope.config.hardening import HardenConfig, NetworkMethod
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.core.predicates.hardening import HardeningPredicate, TrainingRound
from heliotrope.core.records import content_id
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.harden._result import PartOfRun, concluded
from heliotrope.harden.interface import Training
from heliotrope.harden.proving import compared
from heliotrope.harden.splitting import Split, held_out_size, split
from heliotrope.subjects.batching import as_array
from heliotrope.subjects.checkpoint import Checkpoint
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.judging import Judgement, judge_named
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, is_table, plan_models
from heliotrope.subjects.torch_model import TorchModel, load_model, reopened_from, trained_by

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from heliotrope.harden.nets.training import Trained

__all__ = ["harden_network", "harden_opened"]

_SECONDS = 300.0
_TRAINING, _BEFORE = 0.5, 0.75
"""Shares of the work until training, and judging what was, are through."""


def _plan(project: Project) -> Iterator[Planned]:
    needs = ("loader", "input", "output", "data.evaluate", "data.train", "threat")
    for planned in plan_models(project, needs=needs, formats=("torch",), keeps=("harden", "smoothing")):  # type: ignore[arg-type]
        model = ModelTask.model_validate(planned.parameters.document()).model
        outcome = planned.outcome
        if model.data.evaluate is not None and is_table(model.data.evaluate):
            outcome = NotApplicable(
                reason="networks are trained on images and arrays; harden.table fits other models of tables",
                facts=("data.evaluate is a table",),
            )
        yield replace(planned, estimate_seconds=_SECONDS, outcome=outcome)


@check(
    id="harden.network",
    version="1",
    title="A network trained to be more robust",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="deep",
    runs_project_code=True,
    extra="torch",
    modules=("torch", "numpy", "scipy", "safetensors"),
    on_request=True,
)
def harden_network(task: Task, context: RunContext) -> CheckResult:
    """Train by PGD, TRADES, one step, noise or a function of the team; judge both models by the ensemble on the same samples.

    Training goes on after a stop. Passed: the paired interval of the gain in robust accuracy lies above zero. Failed: it does not, or
    more clean accuracy is lost than is allowed. Inconclusive: the attack on one of the models did not work.
    """
    with open_subject(task, train=True) as opened:
        return harden_opened(opened, context)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done."""

    opened: Opened
    context: RunContext
    config: HardenConfig
    method: NetworkMethod
    sigma: float | None
    threat: ThreatModel
    parts: Split

    @property
    def by_votes(self) -> bool:
        """Whether the model votes over noisy copies, so that what is proven of the votes is its robustness."""
        return self.method == "noise" and self.config.train is None


def harden_opened(opened: Opened, context: RunContext) -> CheckResult:
    """What `harden.network` does, for a model and data at hand."""
    assert opened.train is not None
    config = opened.parameters.model.harden or HardenConfig()
    method, sigma = _method(opened, config)
    parts = split(opened.train, opened.data, share=config.validation, seed=opened.task.seed)
    job = _Job(opened, context, config, method, sigma, _training_threat(opened), parts)
    model = _starting(opened, config)
    training = _training(job, model)
    trained = _trained(job, model, training)
    weights = _weights(model.module)
    path = context.workdir / "hardened.safetensors"
    path.write_bytes(weights)
    probe = training.images[:4].cpu().numpy()
    after = replace(opened, model=reopened_from(opened.parameters.model, path, opened, probe=probe))
    judged = _judged(job, after)
    found = compared((opened, judged[0]), (after, judged[1]), clean_loss=config.clean_loss, certifies=job.by_votes)
    predicate = HardeningPredicate(
        method="own" if config.train is not None else method,
        settings=_settings(config, sigma if job.by_votes else None),
        attack=judged[1].attack,
        threat=judged[1].threat,
        training_rows=len(parts.train),
        validation_rows=len(parts.validate),
        held_out_rows=len(judged[1].rows),
        removed_rows=parts.removed,
        rounds=tuple(trained.rounds),
        chosen=trained.chosen,
        stopped=trained.stopped,
        resumed=trained.resumed,
        before=found.before,
        after=found.after,
        clean_change=found.clean,
        robust_change=found.robust,
        verdict=found.verdict,
        reason=found.reason,
        model=context.store(weights, "application/x-safetensors"),
        data=opened.data.digests | {f"train/{name}": digest for name, digest in opened.train.digests.items()},
    )
    return concluded(opened, predicate, (*judged[0].blobs, *judged[1].blobs))


def _judged(job: _Job, after: Opened) -> tuple[Judgement, Judgement]:
    """The original and the hardened model, on the same samples: at least 1,000 where there are so many."""
    opened, most = job.opened, held_out_size(job.opened)
    judge = judge_named("votes" if job.by_votes else "gradients")
    before = judge(opened, PartOfRun(job.context, _TRAINING, _BEFORE, "the original"), sample=most)
    own = replace(after, task=after.task.model_copy(update={"unfinished": None}))  # the state there is of the original
    return before, judge(own, PartOfRun(job.context, _BEFORE, 1.0, "the hardened one"), sample=most)


def _method(opened: Opened, config: HardenConfig) -> tuple[NetworkMethod, float | None]:
    smoothing = opened.parameters.model.smoothing
    method = config.method or ("noise" if smoothing is not None else "trades")
    sigma = config.sigma or (smoothing.sigma if smoothing is not None else None)
    if method == "noise" and (sigma is None or smoothing is None):
        raise InputError(
            f"model {opened.parameters.model.name!r} is to be trained with noise, and does not say how it votes over it",
            hint="set smoothing: {sigma: ...}, or another harden.method",
        )
    return method, sigma


def _training_threat(opened: Opened) -> ThreatModel:
    """The configured threat, for training: steps and restarts are those of the loop."""
    declared, model = opened.parameters.threat, opened.parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    low, high = model.input.range
    return ThreatModel(
        norm=declared.norm, eps=declared.eps, steps=1, restarts=1, step_size=declared.eps, input_low=low, input_high=high,
        channel_eps=declared.channel_eps,
    )  # fmt: skip


def _starting(opened: Opened, config: HardenConfig) -> TorchModel:
    """A network of its own to train: with the model's weights, or as the loader returns it."""
    import torch

    task, model = opened.task, opened.parameters.model
    source = model if config.start == "weights" else model.model_copy(update={"path": None})
    probe = as_array(opened.data.take(_first(4)).inputs)
    if opened.parameters.model.loader is None:
        fresh = reopened_from(model, None, opened, probe=probe)
    else:
        fresh = load_model(source, root=Path(task.root), probe=probe, seed=task.seed, expected=task.inputs)
    if any(one.is_floating_point() and one.dtype != torch.float32 for one in fresh.module.parameters()):
        raise InputError(
            "the network is not of float32 throughout", hint="harden it in float32 and convert it afterwards"
        )
    return fresh


def _training(job: _Job, model: TorchModel) -> Training:
    import torch

    from heliotrope.harden.nets.perturbing import climbed

    opened, config, threat = job.opened, job.config, job.threat
    assert opened.train is not None
    taken = [opened.train.take(rows) for rows in (job.parts.train, job.parts.validate)]
    images = [torch.from_numpy(as_array(one.inputs)).to(model.device) for one in taken]
    labels = [torch.from_numpy(one.answers.astype("int64")).to(model.device) for one in taken]

    def perturb(module: "torch.nn.Module", inputs: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
        was = module.training
        module.eval()
        points = climbed(model.logits, inputs, wanted, threat, eps=threat.eps, steps=config.steps)
        module.train(was)
        return points

    def progress(done: int, total: int, text: str) -> None:
        job.context.progress(_TRAINING * done / max(total, 1), 1.0, f"training: {text}")

    folder = Path(opened.task.unfinished) if opened.task.unfinished is not None else None
    return Training(
        images[0], labels[0], images[1], labels[1], threat, config.epochs, opened.task.seed, folder, perturb, progress
    )


def _trained(job: _Job, model: TorchModel, training: Training) -> "Trained":
    """By the built-in loop, or by the team's function; afterwards the module holds what is to be judged."""
    from heliotrope.harden.nets.averaging import copied_state
    from heliotrope.harden.nets.training import Trained, train, validate

    config = job.config
    if training.folder is not None:
        training.folder.mkdir(parents=True, exist_ok=True)
    if config.train is None:
        checkpoint = _checkpoint(job)
        return train(model.module, model.logits, training, config, job.method, sigma=job.sigma, checkpoint=checkpoint)
    start, began = validate(model.logits, training), time.process_time()
    trained_by(Path(job.opened.task.root), config.train, model.module, training)
    end = validate(model.logits, training)
    only = TrainingRound(
        number=1,
        eps=job.threat.eps,
        clean_accuracy=end.clean,
        robust_accuracy=end.robust,
        seconds=time.process_time() - began,
    )
    return Trained(copied_state(model.module), start, [only], chosen=1)


def _checkpoint(job: _Job) -> Checkpoint | None:
    """Where the state of training is kept, with all that it depends on."""
    opened = job.opened
    if opened.task.unfinished is None:
        return None
    assert opened.train is not None
    identity = {f"model {name}": digest for name, digest in opened.model.digests.items()}
    identity |= {f"data {name}": digest for name, digest in opened.data.digests.items()}
    identity |= {f"training data {name}": digest for name, digest in opened.train.digests.items()}
    identity |= {"threat": content_id(job.threat), "settings": content_id(job.config), "method": job.method}
    identity |= {"seed": str(opened.task.seed), "version": __version__}
    return Checkpoint(Path(opened.task.unfinished) / "training", identity)


def _weights(module: "torch.nn.Module") -> bytes:
    from safetensors.torch import save

    state = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    data: bytes = save(state)
    return data


def _settings(config: HardenConfig, sigma: float | None) -> dict[str, str | float | int | bool]:
    if config.train is not None:
        return {"train": config.train, "start": config.start, "epochs": config.epochs, "steps": config.steps}
    names = ("start", "epochs", "batch", "learning_rate", "steps", "beta", "curriculum", "averaging", "patience")
    known: dict[str, str | float | int | bool] = {name: getattr(config, name) for name in names}
    return known | ({"sigma": sigma} if sigma is not None else {})


def _first(count: int) -> "NDArray[np.int64]":
    import numpy as np

    return np.arange(count, dtype=np.int64)
