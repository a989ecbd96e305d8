"""Deciding one box of the numbers that a model takes: what tables come down to, once categories are fixed and columns encoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heliotrope.attack.certify.trees.ensemble import Ensemble
from heliotrope.attack.certify.trees.search import Ball, Decision, decide

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.nets.graph import Network

    Floats = NDArray[np.float64]
    Ask = Callable[[Floats, Floats], bool | None]

__all__ = ["BoxDecider", "LinearBoxes", "NetworkBoxes", "TreeBoxes"]

_ROUNDING = 2.0**-50


class BoxDecider(Protocol):
    @property
    def method(self) -> str: ...

    @property
    def asks(self) -> bool:
        """Whether asking the model decides what bounds cannot, as ties of trees: then it is asked for radii as well."""

    @property
    def classes(self) -> int: ...

    def scores(self, matrix: "Floats") -> "Floats":
        """As the model says them, up to rounding; compared with its own answers before anything is claimed."""

    def decide(
        self,
        low: "Floats",
        high: "Floats",
        label: int,
        ask: "Ask",
        *,
        nodes: int,
        ball: Ball | None,
        whole: "NDArray[np.bool_] | None",
    ) -> Decision:
        """`ask` gets a box (maybe a point) and says whether the model is wrong in it; None: no input could be made."""


@dataclass(frozen=True)
class TreeBoxes:
    ensemble: Ensemble

    method = "trees-exact"
    asks = True

    @property
    def classes(self) -> int:
        return self.ensemble.classes

    def scores(self, matrix: "Floats") -> "Floats":
        return self.ensemble.linked(self.ensemble.scores(matrix))

    def decide(
        self,
        low: "Floats",
        high: "Floats",
        label: int,
        ask: "Ask",
        *,
        nodes: int,
        ball: Ball | None,
        whole: "NDArray[np.bool_] | None",
    ) -> Decision:
        cast = self.ensemble.cast
        return decide(self.ensemble, cast(low), cast(high), label, ask, nodes=nodes, ball=ball, whole=whole)


@dataclass(frozen=True)
class LinearBoxes:
    weight: "Floats"
    """K x features."""
    bias: "Floats"
    link: "Callable[[Floats], Floats]"

    method = "linear-exact"
    asks = False

    @property
    def classes(self) -> int:
        return len(self.bias)

    def scores(self, matrix: "Floats") -> "Floats":
        return self.link(matrix @ self.weight.T + self.bias)

    def decide(
        self,
        low: "Floats",
        high: "Floats",
        label: int,
        ask: "Ask",
        *,
        nodes: int,
        ball: Ball | None,
        whole: "NDArray[np.bool_] | None",
    ) -> Decision:
        import numpy as np

        size = np.maximum(np.abs(low), np.abs(high)) @ np.abs(self.weight).max(axis=0) + np.abs(self.bias).max()
        doubt = 4 * _ROUNDING * (len(low) + 2) * float(size) + 1e-12
        worst, open_ = np.inf, False
        for other in range(self.classes):
            if other == label:
                continue
            slope = self.weight[label] - self.weight[other]
            point = np.where(slope > 0, low, high)
            if ball is not None:
                point = _in_ball(slope, low, high, ball)
            lead = float(slope @ point + self.bias[label] - self.bias[other])
            worst = min(worst, lead)
            if lead <= doubt:
                near = 1e-9 * np.maximum(np.abs(low), np.abs(high))
                answer = ask(point - near, point + near)
                if answer:
                    return Decision("broken", worst, 1)
                open_ = True
        return Decision("undecided" if open_ else "certified", worst, 0)


def _in_ball(slope: "Floats", low: "Floats", high: "Floats", ball: Ball) -> "Floats":
    from heliotrope.attack.certify.interface import Region
    from heliotrope.attack.certify.linear import least_change

    scale = _scale(ball)
    region = Region("L2", ball.radius, low, high, scale)
    point: Floats = ball.centre + least_change(slope, ball.centre[None], region, ball.radius)[0]
    return point


def _scale(ball: Ball) -> "Floats":
    import numpy as np

    return np.where(ball.weight > 0, 1 / np.sqrt(np.maximum(ball.weight, 1e-300)), 0.0)


@dataclass(frozen=True)
class NetworkBoxes:
    network: "Network"
    link: "Callable[[Floats], Floats]"

    method = "crown"
    asks = False

    @property
    def classes(self) -> int:
        return self.network.classes

    def scores(self, matrix: "Floats") -> "Floats":
        import torch

        with torch.no_grad():
            answers: Floats = self.network.forward(torch.from_numpy(matrix)).numpy()
        return self.link(answers)

    def decide(
        self,
        low: "Floats",
        high: "Floats",
        label: int,
        ask: "Ask",
        *,
        nodes: int,
        ball: Ball | None,
        whole: "NDArray[np.bool_] | None",
    ) -> Decision:
        import torch

        from heliotrope.attack.certify.nets.bounds import Domain
        from heliotrope.attack.certify.nets.splitting import Goal, split_until_decided

        domain = Domain(torch.from_numpy(low[None]), torch.from_numpy(high[None]))
        unit = torch.eye(self.classes, dtype=torch.float64)
        worst, used, open_ = float("inf"), 0, False

        def wrong(points: "torch.Tensor") -> "torch.Tensor":
            answers = [bool(ask(point, point)) for point in points.double().numpy()]
            return torch.tensor(answers)

        for other in range(self.classes):
            if other == label:
                continue
            goal = Goal((unit[label] - unit[other])[None], torch.tensor([-1e-9], dtype=torch.float64))
            found = split_until_decided(self.network, domain, goal, wrong, nodes=max(1, nodes - used))
            used, worst = used + found.nodes, min(worst, found.low)
            if found.example is not None:
                return Decision("broken", worst, used)
            open_ = open_ or not found.proven
        return Decision("undecided" if open_ else "certified", worst, used)
