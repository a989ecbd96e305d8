"""Smallest changes that mislead trees: nearest rows by reading them, against ART's HopSkipJump at its defaults.

100 samples of breast cancer for each of XGBoost, LightGBM and a forest of scikit-learn, columns in standard deviations, L-inf.
HopSkipJump's answers are data: `python bench/trees.py write FOLDER` writes models and samples, `python bench/trees.py hopskipjump
FOLDER [SAMPLES]` in an environment with adversarial-robustness-toolbox 1.20.1 writes bench/data/trees-hopskipjump.json, which is
only used for models and samples of the same digest.
"""

import hashlib
import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

SAMPLES = 100
PEER = Path(__file__).parent / "data" / "trees-hopskipjump.json"


def _fitted() -> tuple[dict[str, Any], Any, Any]:
    import lightgbm
    import numpy as np
    import xgboost
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    inputs, labels = load_breast_cancer(return_X_y=True)
    inputs = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)).astype(np.float32)
    models = {
        "XGBoost": xgboost.XGBClassifier(n_estimators=50, max_depth=4, n_jobs=1),
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=50, num_leaves=15, verbose=-1, n_jobs=1, deterministic=True),
        "forest": RandomForestClassifier(50, max_depth=6, random_state=0),
    }
    order = np.random.default_rng(0).permutation(len(inputs))
    for model in models.values():
        model.fit(inputs[order[:400]], labels[order[:400]])
    held = order[400:]
    right = np.ones(len(held), dtype=bool)
    for model in models.values():
        right &= model.predict(inputs[held]) == labels[held]
    rows = held[right][:SAMPLES]
    return models, inputs[rows], labels[rows]


def _digest(model: Any, inputs: Any) -> str:
    """Of the samples and the model's answers on them and around them: what decides how far a change must go."""
    import numpy as np

    around = inputs[:, None] + np.random.default_rng(1).normal(size=(1, 20, inputs.shape[1])).astype(np.float32)
    answers = model.predict_proba(around.reshape(-1, inputs.shape[1]))
    return hashlib.sha256(inputs.tobytes() + np.round(answers, 4).astype(np.float32).tobytes()).hexdigest()


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit and target."""
    import numpy as np

    from heliotrope.attack.certify._service import certifier_of
    from heliotrope.attack.search.trees import nearest_misled

    models, inputs, labels = _fitted()
    peers = json.loads(PEER.read_text()) if PEER.exists() else {}
    low, high, scale = np.full(30, -1e3), np.full(30, 1e3), np.ones(30)
    made = []
    for name, model in models.items():
        ensemble = certifier_of(model, inputs[0])._decider.ensemble  # noqa: SLF001 - the reader behind the certificate
        began = time.process_time()
        found = [
            nearest_misled(ensemble, model.predict_proba, row.astype(np.float64), int(label), scale=scale, low=low, high=high)
            for row, label in zip(inputs, labels, strict=True)
        ]  # fmt: skip
        spent = time.process_time() - began
        lengths = np.array([one.length for one in found])
        cost = float(np.mean([one.queries + one.traversals for one in found]))
        gap = float(np.median(lengths - np.array([one.bound for one in found])))
        peer = peers.get(name)
        usable = peer is not None and peer["digest"] == _digest(model, inputs)
        n = len(peer["lengths"]) if usable else len(lengths)
        target = f"<= {np.median(peer['lengths']):.4f} (HopSkipJump)" if usable else ""
        allowed = f"<= {np.mean(peer['queries']) / 5:.0f}" if usable else ""
        made += [
            _row(f"{name}: median L-inf of {n}", float(np.median(lengths[:n])), "deviations", target),
            _row(f"{name}: queries plus traversals of a sample", cost, "1", allowed),
            _row(f"{name}: median gap to the proven bound", gap, "deviations", ""),
            _row(f"{name}: {len(found)} samples", spent, "CPU s", ""),
        ]
    return made


def _row(name: str, value: float, unit: str, target: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target}


def _write(folder: Path) -> None:
    models, inputs, labels = _fitted()
    digests = {name: _digest(model, inputs) for name, model in models.items()}
    (folder / "trees.pickle").write_bytes(pickle.dumps((models, inputs, labels, digests)))


def _hopskipjump(folder: Path, count: int) -> None:
    import numpy as np
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    models, inputs, labels, digests = pickle.loads((folder / "trees.pickle").read_bytes())  # noqa: S301 - written by `write`
    made = json.loads(PEER.read_text()) if PEER.exists() else {}
    for name, model in models.items():
        asked = 0

        def answers(rows: Any, model: Any = model) -> Any:
            nonlocal asked
            asked += len(rows)
            return model.predict_proba(np.asarray(rows, dtype=np.float32))

        lengths, queries, began = [], [], time.process_time()
        for row, label in list(zip(inputs, labels, strict=True))[:count]:
            before = asked
            np.random.seed(0)  # noqa: NPY002 - ART draws from it
            classifier = BlackBoxClassifierNeuralNetwork(answers, (30,), 2, clip_values=(-10.0, 20.0))
            changed = HopSkipJump(classifier, norm=np.inf, verbose=False).generate(row[None])[0]
            queries.append(asked - before)
            wrong = model.predict(changed[None])[0] != label
            lengths.append(float(np.abs(changed - row).max()) if wrong else 1e9)
        made[name] = {"digest": digests[name], "lengths": lengths, "queries": queries,
                      "cpu_seconds": time.process_time() - began, "tool": "adversarial-robustness-toolbox 1.20.1"}  # fmt: skip
        PEER.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        _write(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["hopskipjump"]:
        _hopskipjump(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else SAMPLES)
    else:
        print(json.dumps(main(), indent=1))
