"""The built-in training loop: epochs on changed batches, the weights averaged, the epoch chosen by robust accuracy.

Everything random follows from seed and epoch, and the state is kept after each epoch: a run that was stopped goes on, and ends as one
that was not.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from heliotrope.config.hardening import HardenConfig, NetworkMethod
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.hardening import TrainingRound
from heliotrope.harden.interface import Training
from heliotrope.harden.nets.averaging import average_into, copied_state
from heliotrope.harden.nets.perturbing import climbed, diverged
from heliotrope.subjects.checkpoint import Checkpoint
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import torch

    Scores = Callable[[torch.Tensor], torch.Tensor]
    State = dict[str, torch.Tensor]

__all__ = ["Trained", "Validated", "train", "validate"]

_WARM = 0.2
"""Share of all steps over which the learning rate rises."""

_VALIDATION_STEPS = 10
_VALIDATED = 500
"""Validation samples that are attacked after each epoch, at most."""

_NOISE_DRAWS = 8
_COLLAPSE = 0.5
"""fast: robust accuracy below this share of the best is catastrophic overfitting; it falls to almost nothing within an epoch."""

_STREAM = 9176
_SMALL = 1_000_000
"""Parameters of a network whose training gains nothing from threads."""


@dataclass(frozen=True, slots=True)
class Validated:
    """The network on the validation part."""

    clean: float
    robust: float


@dataclass(slots=True)
class Trained:
    """What came of training."""

    state: "State"
    """Of the chosen epoch."""
    start: Validated
    rounds: list[TrainingRound] = field(default_factory=list)
    chosen: int = 0
    stopped: str | None = None
    resumed: bool = False

    @property
    def best(self) -> float:
        """The robust accuracy of the chosen epoch."""
        return self.rounds[self.chosen - 1].robust_accuracy if self.chosen else self.start.robust


def train(
    module: "torch.nn.Module",
    scores: "Scores",
    training: Training,
    config: HardenConfig,
    method: NetworkMethod,
    *,
    sigma: float | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train the module in place by `method`; `scores` asks it. Afterwards it is in the chosen state.

    Raises InputError where the loss is no number any more, or the kept state is of another run.
    """
    with _few_threads(module):
        loop = _Loop(module, scores, training, config, method, sigma=sigma)
        if checkpoint is not None:
            loop.take_up(checkpoint.load())
        found = loop.found
        while len(found.rounds) < config.epochs and found.stopped is None:
            loop.epoch(len(found.rounds) + 1)
            if checkpoint is not None:
                checkpoint.save(*loop.kept())
    module.load_state_dict(found.state)
    module.eval()
    return found


def validate(scores: "Scores", training: Training, *, sigma: float | None = None) -> Validated:
    """Clean accuracy, and that under ten steps of cross-entropy, or under noise; the same random numbers each time."""
    import torch

    images, labels = training.validation_images[:_VALIDATED], training.validation_labels[:_VALIDATED]
    devices = [torch.cuda.current_device()] if images.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_STREAM)
        with torch.no_grad():
            right = scores(images).argmax(dim=1) == labels
        if sigma is None:
            eps = training.threat.eps
            points = climbed(scores, images, labels, training.threat, eps=eps, steps=_VALIDATION_STEPS)
            with torch.no_grad():
                robust = float((right & (scores(points).argmax(dim=1) == labels)).float().mean())
        else:
            with torch.no_grad():
                draws = [scores(images + sigma * torch.randn_like(images)) for _ in range(_NOISE_DRAWS)]
            robust = float(torch.stack([(d.argmax(dim=1) == labels).float().mean() for d in draws]).mean())
    return Validated(float(right.float().mean()), robust)


@contextmanager
def _few_threads(module: "torch.nn.Module") -> Iterator[None]:
    """One thread for small networks: more gain nothing, and on a busy machine they wait for each other many times over."""
    import torch

    threads = torch.get_num_threads()
    if sum(one.numel() for one in module.parameters()) < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Loop:
    """The state of training between two epochs."""

    def __init__(
        self,
        module: "torch.nn.Module",
        scores: "Scores",
        training: Training,
        config: HardenConfig,
        method: NetworkMethod,
        *,
        sigma: float | None,
    ) -> None:
        import torch

        self._module, self._scores, self._data = module, scores, training
        self._config, self._method, self._sigma = config, method, sigma if method == "noise" else None
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self._optimizer = torch.optim.Adam(module.parameters(), lr=config.learning_rate)
        self._average = copied_state(module)
        module.eval()
        self.found = Trained(copied_state(module), validate(scores, training, sigma=self._sigma))
        self._waited = 0
        if config.start == "scratch":
            self.found.start = Validated(self.found.start.clean, -1.0)  # what was not trained is never kept

    def epoch(self, number: int) -> None:
        """One pass over the data, a look at the validation part, and whether to go on."""
        import torch

        began = time.process_time()
        batches = math.ceil(len(self._data.images) / self._config.batch)
        eps = self._radius(number)
        total = 0.0
        devices = [torch.cuda.current_device()] if self._data.images.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((self._data.seed * 1_000_003 + number) % 2**63)
            order = torch.randperm(len(self._data.images)).to(self._data.images.device)
            for index, chosen in enumerate(torch.split(order, self._config.batch)):
                step = (number - 1) * batches + index + 1
                total += self._step(chosen, eps, step, self._config.epochs * batches) * len(chosen)
                self._data.progress(
                    step, self._config.epochs * batches, f"epoch {number}, robust {self.found.best:.1%}"
                )
        self._look(number, total / len(self._data.images), eps, began)

    def kept(self) -> "tuple[dict[str, Any], dict[str, Any]]":
        """All that is known, as facts and arrays."""
        found = self.found
        facts = {
            "rounds": [one.model_dump(mode="json") for one in found.rounds],
            "chosen": found.chosen,
            "stopped": found.stopped,
            "waited": self._waited,
            "start": [found.start.clean, found.start.robust],
        }
        states = {"module": copied_state(self._module), "average": self._average, "best": found.state}
        arrays = {
            f"{name}/{key}": value.cpu().numpy() for name, state in states.items() for key, value in state.items()
        }
        for index, entry in self._optimizer.state_dict()["state"].items():
            arrays |= {f"adam/{index}/{key}": value.cpu().numpy() for key, value in entry.items()}
        return facts, arrays

    def take_up(self, known: "tuple[dict[str, Any], dict[str, Any]] | None") -> None:
        """Stand where the other run stood."""
        import torch

        if known is None:
            return
        facts, arrays = known
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        device = self._data.images.device

        def state(prefix: str) -> "State":
            return {
                name.removeprefix(prefix): value.to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        self._module.load_state_dict(state("module/"))
        self._average = state("average/")
        held = self._optimizer.state_dict()
        entries: dict[int, dict[str, Any]] = {}
        for name, value in state("adam/").items():
            index, _, key = name.partition("/")
            entries.setdefault(int(index), {})[key] = value.cpu() if key == "step" else value
        held["state"] = entries
        self._optimizer.load_state_dict(held)
        rounds = [TrainingRound.model_validate(entry) for entry in facts["rounds"]]
        self.found = Trained(
            state("best/"), Validated(*facts["start"]), rounds, facts["chosen"], facts["stopped"], resumed=True
        )
        self._waited = facts["waited"]

    def _radius(self, number: int) -> float:
        """Rises over the first epochs: a network that was not trained for it unlearns at once what it knew."""
        rising = math.ceil(self._config.curriculum * self._config.epochs)
        return self._data.threat.eps * min(1.0, number / max(1, rising))

    def _step(self, chosen: "torch.Tensor", eps: float, step: int, steps: int) -> float:
        import torch

        warm = max(1.0, _WARM * steps)
        share = step / warm if step <= warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * share
        loss = self._loss(self._data.images[chosen], self._data.labels[chosen], eps)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"the loss is {value} in step {step} of training",
                hint="set a smaller harden.learning_rate, and try again",
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), 10.0)
        self._optimizer.step()
        if self._config.averaging:
            average_into(self._average, self._module, decay=self._config.averaging, step=step)
        return value

    def _loss(self, images: "torch.Tensor", labels: "torch.Tensor", eps: float) -> "torch.Tensor":
        """Examples are made in eval mode, so that they do not move the statistics of normalising layers."""
        import torch

        functional, config, threat = torch.nn.functional, self._config, self._data.threat
        self._module.eval()
        if self._method == "noise":
            assert self._sigma is not None
            points = images + self._sigma * torch.randn_like(images)
        elif self._method == "trades":
            points = diverged(self._scores, images, threat, eps=eps, steps=config.steps)
        else:
            steps = 1 if self._method == "fast" else config.steps
            points = climbed(self._scores, images, labels, threat, eps=eps, steps=steps)
        self._module.train()
        if self._method != "trades":
            return functional.cross_entropy(self._scores(points), labels)
        both = self._scores(torch.cat([images, points]))
        clean, moved = both.chunk(2)
        apart = functional.kl_div(moved.log_softmax(dim=1), clean.softmax(dim=1), reduction="batchmean")
        return functional.cross_entropy(clean, labels) + config.beta * apart

    def _look(self, number: int, loss: float, eps: float, began: float) -> None:
        """Judge the averaged weights, keep them if they are the best, and end where nothing comes any more."""
        found, own = self.found, copied_state(self._module)
        state = self._average if self._config.averaging else own
        self._module.load_state_dict(state)
        self._module.eval()
        seen = validate(self._scores, self._data, sigma=self._sigma)
        kept = {key: value.clone() for key, value in state.items()}
        self._module.load_state_dict(own)
        before = found.best
        found.rounds.append(
            TrainingRound(
                number=number,
                loss=loss,
                eps=eps,
                clean_accuracy=seen.clean,
                robust_accuracy=seen.robust,
                seconds=time.process_time() - began,
            )
        )
        full = eps >= self._data.threat.eps
        self._waited += full
        if seen.robust > before:
            found.state, found.chosen, self._waited = kept, number, 0
        if self._method == "fast" and full and self._collapsed(before, seen.robust):
            found.stopped = (
                f"catastrophic overfitting in epoch {number}: robust accuracy on the validation part fell from {before:.1%} "
                f"to {seen.robust:.1%}; the weights of epoch {found.chosen} are kept"
            )
        elif self._waited >= self._config.patience:
            found.stopped = f"no better robust accuracy on the validation part for {self._waited} epochs"

    def _collapsed(self, before: float, now: float) -> bool:
        """Whether robust accuracy fell to less than half of the best, beyond what so few samples leave to chance."""
        n = min(_VALIDATED, len(self._data.validation_images))
        earlier, later = exact_interval(round(before * n), n), exact_interval(round(now * n), n)
        return now < _COLLAPSE * before and later.high < earlier.low
