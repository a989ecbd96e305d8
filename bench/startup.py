"""How long the command line takes to say anything, and how much a base install weighs."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cpu_seconds(command: list[str], repeats: int = 7, cwd: str | None = None) -> float:
    """Median user + system CPU seconds of a command."""
    spent = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(spent)


def base_install_megabytes() -> float:
    """What `pip install heliotrope` adds to an empty virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        before = _folder_bytes(venv)
        subprocess.run(
            [venv / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", ROOT],
            check=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        return (_folder_bytes(venv) - before) / 1e6


def _folder_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> list[dict[str, object]]:
    helio = str(Path(sys.executable).with_name("helio"))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.pkl"
        import pickle

        small.write_bytes(pickle.dumps({"weights": [0.1, 0.2], "epoch": 3}))
        return [
            {"name": "helio --help", "value": cpu_seconds([helio, "--help"]), "unit": "CPU s", "target": "≤ 0.2"},
            {
                "name": "helio --version",
                "value": cpu_seconds([helio, "--version"]),
                "unit": "CPU s",
                "target": "≤ 0.15",
            },
            {
                "name": "helio scan, one small file",
                "value": cpu_seconds([helio, "scan", str(small)], cwd=folder),
                "unit": "CPU s",
                "target": "≤ 0.4",
            },
            {"name": "base install", "value": base_install_megabytes(), "unit": "MB", "target": "≤ 80"},
        ]


if __name__ == "__main__":
    for row in main():
        print(row)
