"""The static part of an assessment on a repository of ten thousand files: the first run, and one more with nothing changed."""

import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 10_000
SETTLING_SECONDS = 2.5
"""Files younger than two seconds are hashed again by every run: a repository that was just made is no usual case."""


def make_repository(root: Path, files: int = FILES) -> Path:
    """Half code, a quarter json, some prose, arrays, weights and pickles, in a thousand folders."""
    import numpy as np

    rng = random.Random(7)  # noqa: S311 - contents of no consequence
    for index in range(files):
        folder = root / f"package{index % 40:02d}" / f"part{index // 40 % 25:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        path, kind = folder / f"file{index:05d}", index % 20
        if kind < 10:
            text = "\n".join(f"def f{line}(x):\n    return x + {rng.random()}" for line in range(40))
            path.with_suffix(".py").write_text(text)
        elif kind < 15:
            path.with_suffix(".json").write_text(json.dumps({f"key{entry}": rng.random() for entry in range(60)}))
        elif kind < 18:
            path.with_suffix(".md").write_text("# Notes\n\n" + "word " * 300)
        elif kind == 18 and index % 3 == 0:
            np.save(path.with_suffix(".npy"), np.arange(200.0))
        elif kind == 18:
            header = json.dumps({"w": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).encode()
            path.with_suffix(".safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(256))
        else:
            path.with_suffix(".pkl").write_bytes(pickle.dumps({"weights": list(range(50)), "index": index}))
    return root


def assess(folder: Path, cwd: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of `helio assess`, with all its processes."""
    helio = str(Path(sys.executable).with_name("helio"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [helio, "assess", folder, "-q"],
        cwd=cwd,
        env={**os.environ, "HELIOTROPE_STATE_HOME": str(cwd / "state")},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def row(name: str, value: float, unit: str, target: str) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "target": target}


def main() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        repository = make_repository(work / "repository")
        time.sleep(SETTLING_SECONDS)
        first, _ = assess(repository, work)
        again = sorted(assess(repository, work)[0] for _ in range(5))[2]
        _, peak = assess(repository, work)
        (*_, reports) = sorted((work / ".heliotrope" / "reports").iterdir())
        html, document = ((reports / name).stat().st_size / 1e6 for name in ("report.html", "report.json"))
        ledger = (work / ".heliotrope" / "ledger.db").stat().st_size / 1e6
    return [
        row(f"{FILES:,} files, first run", first, "CPU s", "≤ 6"),
        row(f"{FILES:,} files, nothing changed (median of 5)", again, "CPU s", "≤ 1.5"),
        row(f"{FILES:,} files, peak of the largest process", peak, "MB", "≤ 200"),
        row(f"{FILES:,} files, report.html", html, "MB", "≤ 1"),
        row(f"{FILES:,} files, report.json", document, "MB", "≤ 10"),
        row(f"{FILES:,} files, ledger after 7 runs", ledger, "MB", "≤ 10"),
    ]


if __name__ == "__main__":
    for line in main():
        print(line)
