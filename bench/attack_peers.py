"""Attacks of other libraries on the MNIST model; run by bench/attack.py in an environment that holds them.

Arguments: the network's module, the weights, an npz of images and labels. Prints one JSON object for each attack.
"""

import json
import runpy
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
BATCH, STEPS = 200, 40
Tool = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, str, float], torch.Tensor]


class Counted(torch.nn.Module):
    """The network, counting samples sent forward."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.forwards = inner, 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.forwards += len(inputs)
        scores: torch.Tensor = self.inner(inputs)
        return scores


def _torchattacks(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    import torchattacks

    size = 2.5 * eps / STEPS
    if norm == "L2":
        return torchattacks.PGDL2(model, eps=eps, alpha=size, steps=STEPS, random_start=False)(x, y)
    return torchattacks.PGD(model, eps=eps, alpha=size, steps=STEPS, random_start=False)(x, y)


def _foolbox(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    import foolbox

    kind = foolbox.attacks.L2PGD if norm == "L2" else foolbox.attacks.LinfPGD
    attack = kind(abs_stepsize=2.5 * eps / STEPS, steps=STEPS, random_start=False)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    return attack(wrapped, x, foolbox.criteria.Misclassification(y), epsilons=eps)[1]


def _art(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    loss = torch.nn.CrossEntropyLoss()
    wrapped = PyTorchClassifier(model, loss, input_shape=tuple(x.shape[1:]), nb_classes=10, clip_values=(0, 1))
    order = 2 if norm == "L2" else np.inf
    attack = ProjectedGradientDescentPyTorch(
        wrapped, norm=order, eps=eps, eps_step=2.5 * eps / STEPS, max_iter=STEPS, batch_size=BATCH, verbose=False
    )
    return torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def _reference(*attacks: str) -> Tool:
    def run(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
        from pyautoattack import AutoAttack

        whole = AutoAttack(model, norm=norm, eps=eps, version="custom", attacks=list(attacks), device="cpu", seed=0)
        done = whole.run_standard_evaluation(x, y, batch_size=BATCH)
        return done[0] if isinstance(done, tuple) else done

    return run


TOOLS: dict[str, Tool] = {
    "torchattacks 3.5.1 PGD-40": _torchattacks,
    "foolbox 3.3.4 PGD-40": _foolbox,
    "ART 1.20.1 PGD-40": _art,
    "pyautoattack 0.2.0 APGD-CE": _reference("apgd-ce"),
    "pyautoattack 0.2.0 APGD-CE + APGD-T": _reference("apgd-ce", "apgd-t"),
    "pyautoattack 0.2.0 standard": _reference("apgd-ce", "apgd-t", "fab-t", "square"),
}


def main() -> None:
    network, weights, data = sys.argv[1:4]
    module = runpy.run_path(network)["build"]()
    module.load_state_dict(torch.load(weights, weights_only=True))
    module.eval().requires_grad_(False)
    with np.load(data) as held:
        x, y = torch.from_numpy(held["images"]), torch.from_numpy(held["labels"])
    for norm, eps in (("Linf", 0.1), ("Linf", 0.15), ("L2", 1.5)):
        for name, tool in TOOLS.items():
            model = Counted(module).eval()
            torch.manual_seed(0)
            begin = time.process_time()
            found = tool(model, x, y, norm, eps).detach()
            seconds = time.process_time() - begin
            right = float((module(found).argmax(dim=1) == y).float().mean())
            said = {"norm": norm, "eps": eps, "tool": name, "robust": 100 * right, "cpu": seconds}
            print(json.dumps(said | {"forwards": model.forwards / len(x)}), flush=True)


if __name__ == "__main__":
    main()
