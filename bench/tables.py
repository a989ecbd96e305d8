"""A whole assessment of an XGBoost model on a parquet file of 5 million rows and 50 columns: time and memory of all processes.

Takes some five minutes and 2 GB of disk. Memory is what parent and workers hold together, sampled twenty times a second.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROWS, TRAINING_ROWS, GROUP = 5_000_000, 200_000, 250_000
NUMBERS_32, NUMBERS_64, WHOLE, CATEGORIES = 20, 22, 4, 4
MEMORY_MB = 1500
CONFIG = """
version: 1
project: large-table
models:
  - name: trees
    path: model.ubj
    format: xgboost
    task: tabular-classification
    labels: ["0", "1"]
    data:
      train: {path: train.parquet, target: y}
      evaluate: {path: test.parquet, target: y}
checks: {skip: [evasion.*], time_limit: 900}
"""


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit and target."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "train.parquet", TRAINING_ROWS, seed=1)
        _write(folder / "test.parquet", ROWS, seed=2)
        _train(folder)
        (folder / "heliotrope.yaml").write_text(CONFIG)
        size = (folder / "test.parquet").stat().st_size / 2**20
        began = time.perf_counter()
        document, peak, cpu = _assess(folder)
        wall = time.perf_counter() - began
    states = {run["check"]: run["outcome"] for run in document["runs"]}
    broken = sorted(check for check, state in states.items() if state in {"error", "inconclusive", "skipped"})
    return [
        _row("rows", ROWS, "1", "5,000,000"),
        _row("columns", NUMBERS_32 + NUMBERS_64 + WHOLE + CATEGORIES, "1", "50"),
        _row("parquet file", size, "MB", ""),
        _row("assess, memory of all processes together, peak", peak, "MB", f"<= {MEMORY_MB}"),
        _row("assess", cpu, "CPU s", ""),
        _row("assess", wall, "s of wall time", ""),
        _row("checks that came to a conclusion", len(states) - len(broken), f"of {len(states)}", "all"),
    ]


def _write(path: Path, rows: int, *, seed: int) -> None:
    """Numbers of both widths, whole numbers and categories; the answer depends on four of them, with noise."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(seed)
    towns = pa.array([f"c{place:02d}" for place in range(20)])
    writer = None
    for start in range(0, rows, GROUP):
        n = min(GROUP, rows - start)
        columns: dict[str, Any] = {
            f"f{place:02d}": generator.standard_normal(n, dtype=np.float32) for place in range(NUMBERS_32)
        }
        columns |= {f"d{place:02d}": generator.standard_normal(n) for place in range(NUMBERS_64)}
        columns |= {f"i{place:02d}": generator.integers(0, 1000, n) for place in range(WHOLE)}
        codes = [generator.integers(0, len(towns), n, dtype=np.int32) for _ in range(CATEGORIES)]
        columns |= {
            f"t{place:02d}": pa.DictionaryArray.from_arrays(pa.array(code), towns) for place, code in enumerate(codes)
        }
        score = columns["f00"] + columns["d00"] + (columns["i00"] - 500) / 300 + (codes[0] - 9.5) / 6
        columns["y"] = (score + generator.standard_normal(n) > 0).astype(np.int64)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _train(folder: Path) -> None:
    import pandas as pd
    import xgboost

    frame = pd.read_parquet(folder / "train.parquet")
    matrix = xgboost.DMatrix(frame.drop(columns="y"), frame["y"], enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 2}, matrix, num_boost_round=40)
    booster.save_model(folder / "model.ubj")


def _assess(folder: Path) -> tuple[dict[str, Any], float, float]:
    """The report, the peak of memory in MB and the CPU seconds of `helio assess` with all its processes."""
    import resource

    helio = str(Path(sys.executable).with_name("helio"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [helio, "assess", str(folder), "--format", "json", "--output", str(folder / "report.json"), "-q"],
        stdout=subprocess.DEVNULL,
    )
    peaks = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peaks.append(_resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads((folder / "report.json").read_text()), max(peaks), cpu


def _resident(pid: int) -> float:
    """MB that a process and all below it hold; pages that they share count in each."""
    total = 0.0
    try:
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(_resident(int(child)) for child in (task / "children").read_text().split())
    except (OSError, IndexError):
        pass  # it ended meanwhile
    return total


def _row(name: str, value: float, unit: str, target: str) -> dict[str, Any]:
    return {"name": name, "value": float(value), "unit": unit, "target": target}


if __name__ == "__main__":
    for row in main():
        print(f"{row['name']:50} {row['value']:>14,.1f} {row['unit']:15} {row['target']}")
