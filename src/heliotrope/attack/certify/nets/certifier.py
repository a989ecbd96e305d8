"""Certificates of networks: linear bounds first, then a short attack, better bounds, and branch and bound where it is small."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Budget, Certificates, Region, Tick, silent
from heliotrope.attack.certify.nets.bounds import Bounds, Domain, bound, linear_range
from heliotrope.attack.certify.nets.graph import FLOAT32, Network
from heliotrope.attack.certify.nets.optimised import climb
from heliotrope.attack.certify.nets.probing import search
from heliotrope.attack.certify.nets.rows import Rows
from heliotrope.attack.certify.nets.splitting import Goal, split_until_decided, unsettled

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Floats, Inputs, Served

__all__ = ["NetworkCertifier"]

_BATCH = 64
_SPLIT_AT_MOST = 2000
"""Open bends of a sample beyond which dividing them one by one proves nothing."""

_DIRECT = "sums are made by direct summation in any order in {kind}: no Winograd or Fourier convolutions, no reduced precision"


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked, and what is known so far."""

    known: Certificates
    region: Region
    budget: Budget
    deadline: float | None


@dataclass(frozen=True)
class NetworkCertifier:
    """A network that was read, and the model as it is served."""

    network: Network
    served: "Served"
    """Inputs of the declared range to scores; what a counterexample must mislead."""
    batch: int = _BATCH

    @property
    def method(self) -> str:
        return "crown"

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (_DIRECT.format(kind="float32" if self.network.unit == FLOAT32 else "float64"),)

    def certify(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region, budget: Budget, tick: Tick = silent
    ) -> Certificates:
        """Verdicts in batches; memory stays bounded by the batch."""
        import numpy as np

        n = len(inputs)
        deadline = None if budget.seconds is None else time.monotonic() + budget.seconds
        known = Certificates(
            ["undecided"] * n, np.zeros(n, dtype=bool), np.full(n, np.nan), np.full(n, np.nan), methods=[""] * n
        )
        for begin in range(0, n, self.batch):
            rows = np.arange(begin, min(begin + self.batch, n))
            if deadline is None or time.monotonic() < deadline:
                self._batch(_Work(known, region, budget, deadline), rows, inputs[rows], labels[rows])
            else:
                known.right[rows] = self.served(inputs[rows]).argmax(axis=1) == labels[rows]
            tick((begin + len(rows)) / n)
        return known

    def margins(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region, eps: float | None = None
    ) -> "Floats":
        """By sample and class a lower bound of the lead of the label over it; infinite for the label itself."""
        import torch

        with torch.no_grad():
            leads, _ = self._leads(_domain(inputs, region, eps), torch.from_numpy(labels))
        found: Floats = leads.numpy()
        return found

    def _leads(self, domain: Domain, labels: "torch.Tensor", *, refine: bool = True) -> "tuple[torch.Tensor, Bounds]":
        import torch

        known = bound(self.network, domain, refine=refine)
        classes = self.network.classes
        spec = _leading(labels, classes)
        rows = Rows(spec.reshape(-1, classes), torch.arange(len(labels)).repeat_interleave(classes))
        low, _ = linear_range(self.network, known, len(self.network.nodes) - 1, rows)
        leads = low.reshape(-1, classes) - self._needed(known)[:, None]
        return leads.scatter(1, labels[:, None], torch.inf), known

    def _needed(self, known: Bounds) -> "torch.Tensor":
        """By how much a class must lead for the order to survive a softmax in the served arithmetic."""
        low, high = known.ranges[-1]
        largest = low.abs().maximum(high.abs()).amax(dim=1)
        return self.network.ties * 32 * self.network.unit * (1 + largest)

    def _batch(self, work: _Work, rows: "NDArray[np.int64]", inputs: "Inputs", labels: "NDArray[np.int64]") -> None:
        import torch

        known, budget = work.known, work.budget
        right = self.served(inputs).argmax(axis=1) == labels
        known.right[rows] = right
        for place in (~right).nonzero()[0].tolist():
            _broken(known, rows[place], inputs[place], "clean")
            known.radius[rows[place]] = 0.0
        kept = right.nonzero()[0]
        if not len(kept):
            return
        answers = torch.from_numpy(labels[kept])
        domain = _domain(inputs[kept], work.region)
        with torch.no_grad():
            leads, bounds = self._leads(domain, answers)
        known.margin[rows[kept]] = leads.amin(dim=1).numpy()
        open_ = (leads <= 0).any(dim=1).nonzero()[:, 0]
        proven = (leads > 0).all(dim=1).nonzero()[:, 0]
        _certified(known, rows[kept[proven.numpy()]], self.method)
        found = (
            search(self.network, domain.select(open_), answers[open_], self._asked)
            if len(open_) and budget.attack
            else {}
        )
        for place, example in found.items():
            _broken(known, rows[kept[int(open_[place])]], example.numpy(), "ascent")
        open_ = open_[[place for place in range(len(open_)) if place not in found]]
        if len(open_) and budget.steps:
            open_ = self._improved(work, rows[kept], bounds, leads, open_)
        for place in open_.tolist() if budget.nodes else ():
            self._split(work, rows[kept[place]], domain.select(torch.tensor([place])), int(answers[place]))
        if budget.radii:
            self._radii(work, rows[kept], inputs[kept], labels[kept])

    def _asked(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.from_numpy(self.served(inputs.numpy()))

    def _improved(
        self, work: _Work, rows: "NDArray[np.int64]", bounds: Bounds, leads: "torch.Tensor", open_: "torch.Tensor"
    ) -> "torch.Tensor":
        """Ascent on the leads that are not proven yet; those samples that stay open."""
        import torch

        pairs = (leads[open_] <= 0).nonzero()
        sample, other = open_[pairs[:, 0]], pairs[:, 1]
        spec = _leading(leads.argmax(dim=1), self.network.classes)[sample, other]
        needed = self._needed(bounds)[sample]
        best, _, _ = climb(
            self.network, bounds, Rows(spec, sample), steps=work.budget.steps, enough=float(needed.max())
        )
        low = best.low - needed
        leads[sample, other] = torch.maximum(leads[sample, other], low)
        worst = leads.amin(dim=1)
        work.known.margin[rows[open_.numpy()]] = worst[open_].numpy()
        _certified(work.known, rows[open_[worst[open_] > 0].numpy()], "crown, slopes optimised")
        return open_[worst[open_] <= 0]

    def _split(self, work: _Work, row: int, domain: Domain, label: int) -> None:
        """Branch and bound over all classes in turn; broken by the first counterexample."""
        import torch

        with torch.no_grad():
            leads, bounds = self._leads(domain, torch.tensor([label]))
        if unsettled(self.network, bounds) > _SPLIT_AT_MOST:
            return
        needed = float(self._needed(bounds)[0])
        spec = _leading(torch.tensor([label]), self.network.classes)[0]
        wrong = lambda points: self._asked(points).argmax(dim=1) != label  # noqa: E731 - named for what it says
        known, left, worst = work.known, work.budget.nodes, float("inf")
        for other in leads[0].argsort().tolist():
            if float(leads[0, other]) > 0:
                continue
            goal = Goal(spec[other][None], torch.tensor([-needed], dtype=torch.float64))
            decided = split_until_decided(self.network, domain, goal, wrong, nodes=left, deadline=work.deadline)
            known.nodes += decided.nodes
            left -= decided.nodes
            if decided.example is not None:
                _broken(known, row, decided.example.numpy(), "branch and bound")
                return
            worst = min(worst, decided.low)
            if not decided.proven:
                known.margin[row] = max(float(known.margin[row]), worst)
                return
        _certified(known, [row], "branch and bound")
        known.margin[row] = max(float(known.margin[row]), 0.0)

    def _radii(self, work: _Work, rows: "NDArray[np.int64]", inputs: "Inputs", labels: "NDArray[np.int64]") -> None:
        """Halve between what is proven and what is not; by linear bounds alone, so a radius can be smaller than eps."""
        import numpy as np

        known, region = work.known, work.region
        low, high = np.zeros(len(rows)), np.full(len(rows), 2 * region.eps)
        certified = np.array([known.verdicts[row] == "certified" for row in rows.tolist()])
        low[certified] = region.eps
        high[~certified] = region.eps
        for _ in range(work.budget.radii):
            middle = (low + high) / 2
            shape = (-1, *[1] * (inputs.ndim - 1))
            scaled = Region(region.norm, 1.0, region.low, region.high, middle.reshape(shape) * np.asarray(region.scale))
            proven = (self._margins_by_radius(inputs, labels, scaled, middle) > 0).all(axis=1)
            low, high = np.where(proven, middle, low), np.where(proven, high, middle)
        known.radius[rows] = low

    def _margins_by_radius(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", scaled: Region, radii: "Floats"
    ) -> "Floats":
        """Each sample at a radius of its own."""
        import torch

        low, high = scaled.box(inputs)
        domain = Domain(torch.from_numpy(low), torch.from_numpy(high))
        if scaled.norm == "L2":
            centre = torch.from_numpy(inputs.astype("float64"))
            domain = Domain(domain.low, domain.high, centre, torch.from_numpy(radii))
        with torch.no_grad():
            found: Floats = self._leads(domain, torch.from_numpy(labels))[0].numpy()
        return found


def _domain(inputs: "Inputs", region: Region, eps: float | None = None) -> Domain:
    import torch

    low, high = region.box(inputs, eps)
    if region.norm == "Linf":
        return Domain(torch.from_numpy(low), torch.from_numpy(high))
    radius = region.eps if eps is None else eps
    return Domain(torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy(inputs.astype("float64")), radius)


def _leading(labels: "torch.Tensor", classes: int) -> "torch.Tensor":
    """By sample and class the function that says by how much the label leads over it."""
    import torch

    unit = torch.eye(classes, dtype=torch.float64)
    return unit[labels][:, None, :] - unit[None]


def _broken(known: Certificates, row: int, example: "Inputs", method: str) -> None:
    known.verdicts[int(row)] = "broken"
    known.methods[int(row)] = method
    known.examples[int(row)] = example


def _certified(known: Certificates, rows: "NDArray[np.int64] | list[int]", method: str) -> None:
    for row in rows:
        known.verdicts[int(row)] = "certified"
        known.methods[int(row)] = method
