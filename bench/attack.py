"""The white-box kernel side by side with other libraries: robust accuracy found, forward passes, CPU seconds.

The published MNIST model, its first 200 test images, one thread. The others run in an environment of their own below
build/peers/attacks, made on the first run; nothing of them is a dependency. Needs HELIOTROPE_TEST_DATA; run with
OMP_NUM_THREADS=1. PGD-40 is held against the fastest library; all attack in batches of 200. The ensemble is run with three seeds, and the median is held
against the reference ensemble of attacks. HELIOTROPE_ATTACK_PEERS names an interpreter that has the other libraries already.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

SAMPLES = 200
_PEERS = ROOT / "build" / "peers" / "attacks"
_FIRST = (
    "torch==2.13.0",
    "numpy",
    "scipy",
    "scikit-learn",
    "six",
    "tqdm",
    "setuptools",
    "eagerpy",
    "gitpython",
    "requests",
    "packaging",
)
_WITHOUT_THEIR_PINS = (
    "foolbox==3.3.4",
    "torchattacks==3.5.1",
    "adversarial-robustness-toolbox==1.20.1",
    "pyautoattack==0.2.0",
)
_THREATS = (("Linf", 0.1), ("Linf", 0.15), ("L2", 1.5))
Row = dict[str, Any]


def main() -> list[Row]:
    """Rows for docs/benchmarks.md; none when the data is not there."""
    folder = Path(os.environ.get("HELIOTROPE_TEST_DATA") or "/nowhere") / "mnist"
    if not folder.is_dir():
        print("attack: HELIOTROPE_TEST_DATA is not set or has no mnist/; nothing measured")
        return []
    import torch

    torch.set_num_threads(1)
    ours, peers = _ours(folder), _theirs(folder)
    rows = []
    for norm, eps in _THREATS:
        here = [one for one in (*ours, *peers) if (one["norm"], one["eps"]) == (norm, eps)]
        fastest = min(one["cpu"] for one in here if "PGD-40" in one["tool"] and not one["tool"].startswith("helio"))
        reference = next(one for one in here if one["tool"].endswith("standard"))
        for one in here:
            title = f"{norm} {eps:g}: {one['tool']}"
            mine, ensemble = one["tool"].startswith("helio"), "ensemble" in one["tool"]
            robust = f"<= {reference['robust'] + 0.5:.3g}" if mine and ensemble else ""
            seconds = f"<= {1.1 * fastest:.3g}" if mine and "PGD-40" in title else ""
            rows.append(_row(f"{title}: robust accuracy", one["robust"], "%", robust))
            share = {0.1: 1 / 20, 0.15: 0.8}.get(eps)
            passes = f"<= {share * reference['forwards']:.4g}" if share and ensemble else ""
            rows.append(_row(f"{title}: forward passes a sample", one["forwards"], "", passes))
            rows.append(_row(f"{title}: cost", one["cpu"], "CPU s", seconds))
    return rows


def _ours(folder: Path) -> list[Row]:
    import torch

    import evasion
    from heliotrope.attack.certify import certifier_of
    from heliotrope.attack.ensemble.evaluating import evaluate
    from heliotrope.attack.gradients.campaign import GradientAttack, campaign
    from heliotrope.attack.gradients.model import GradientModel
    from heliotrope.core.predicates.behaviour import ThreatModel

    module, samples = evasion.target(folder)
    samples = samples.select(torch.arange(SAMPLES))
    plain = (GradientAttack("pgd", "cross-entropy"),)
    certifier = certifier_of(module, samples.inputs[0].numpy())
    GradientModel(module).one(samples.inputs)  # first calls allocate
    rows = []
    for norm, eps in _THREATS:

        def measured(name: str, steps: int, seed: int | None, norm: str = norm, eps: float = eps) -> Row:
            model = GradientModel(module, batch=SAMPLES)
            size = 2.5 * eps / steps
            threat = ThreatModel(norm=norm, eps=eps, steps=steps, restarts=1, step_size=size, input_low=0, input_high=1)
            begin = time.process_time()
            if seed is None:
                result = campaign(model, samples, threat, plain, seed=0, tick=lambda _share: None)
            else:
                result = evaluate(model, samples, threat, seed=seed, certifier=certifier).result
            return {
                "norm": norm, "eps": eps, "tool": f"helio {name}", "robust": 100 * result.right_at(eps) / SAMPLES,
                "forwards": model.cost.forward / SAMPLES, "cpu": time.process_time() - begin,
            }  # fmt: skip

        rows.append(measured("PGD-40", 40, None))
        seeds = [measured("ensemble, standard, median of 3 seeds", 50, seed) for seed in range(3)]
        middle = {key: statistics.median(one[key] for one in seeds) for key in ("robust", "forwards", "cpu")}
        rows.append(seeds[0] | middle)
    return rows


def _theirs(folder: Path) -> list[Row]:
    import numpy as np
    import safetensors.torch
    import torch

    import evasion

    python = _environment()
    _, samples = evasion.target(folder)
    with tempfile.TemporaryDirectory(prefix="bench-attack-") as place:
        weights, data = Path(place) / "weights.pt", Path(place) / "data.npz"
        torch.save(safetensors.torch.load_file(folder / "mnist_convex.safetensors"), weights)
        np.savez(data, images=samples.inputs[:SAMPLES].numpy(), labels=samples.labels[:SAMPLES].numpy())
        network, script = ROOT / "examples" / "mnist" / "network.py", ROOT / "bench" / "attack_peers.py"
        done = subprocess.run(
            [python, script, network, weights, data],
            capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"bench/attack_peers.py failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _environment() -> Path:
    """An interpreter with the other libraries."""
    python = Path(os.environ.get("HELIOTROPE_ATTACK_PEERS") or _PEERS / "bin" / "python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_PEERS)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *_FIRST], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *_WITHOUT_THEIR_PINS], check=True)
    return python


def _row(name: str, value: float, unit: str, target: str) -> Row:
    return {"name": name, "value": round(value, 4), "unit": unit, "target": target}


if __name__ == "__main__":
    for row in main():
        print(f"{row['name']:75} {row['value']:>10} {row['unit']:6} {row['target']}", flush=True)
