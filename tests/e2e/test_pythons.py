"""The verdict is the same on every Python. HELIOTROPE_PYTHONS names other interpreters, else those on PATH are taken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.corpus.store import unpack
from tests.unit.scan.python_dialects import write_dialects

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
NAMED = [path for path in os.environ.get("HELIOTROPE_PYTHONS", "").split(os.pathsep) if path]
OTHERS = NAMED or [path for path in map(shutil.which, ("python3.12", "python3.13")) if path]
WHY = "no other Python is at hand: name some in HELIOTROPE_PYTHONS, or put python3.12 or python3.13 on PATH"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that Pythons disagree about, every tenth ordinary file and, where torch is, every fourth attack."""
    folder = tmp_path_factory.mktemp("files")
    write_dialects(folder / "dialects")
    kept = set(unpack(folder / "corpus")[::10])
    for path in (folder / "corpus").glob("*/*"):
        if path not in kept:
            path.unlink()
    try:
        from tests.adversary.variants import variants
    except ImportError:
        return folder
    for number, variant in enumerate(variants()[::4]):
        (folder / f"attack-{number}").mkdir()
        (folder / f"attack-{number}" / variant.file).write_bytes(variant.data)
    return folder


def scanned(helio: list[object], files: Path, **environment: str) -> bytes:
    said = subprocess.run(
        [*map(str, helio), "scan", "--no-cache", "--format", "json", "."],
        cwd=files,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert said.returncode == 1, said.stderr.decode("utf-8", "replace")[-2000:]
    return said.stdout


@pytest.fixture(scope="module")
def expected(files: Path) -> bytes:
    return scanned([Path(sys.executable).with_name("helio")], files)


@pytest.mark.skipif(not OTHERS, reason=WHY)
@pytest.mark.parametrize("other", OTHERS or ["none"])
def test_another_python_says_the_same(other: str, files: Path, expected: bytes, tmp_path: Path) -> None:
    """In an environment with nothing but the base installation, besides. Needs a package index."""
    subprocess.run([other, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "-c", ROOT / "constraints.txt", ROOT]
    subprocess.run(list(map(str, pip)), check=True, capture_output=True)
    assert scanned([python, "-c", "import sys; from heliotrope.cli import main; sys.exit(main())"], files) == expected


@pytest.mark.parametrize(
    "setting", [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"}, {"PYTHONINTMAXSTRDIGITS": "640"}, {"LC_ALL": "C"}]
)
def test_settings_of_the_interpreter_change_nothing(setting: dict[str, str], files: Path, expected: bytes) -> None:
    assert scanned([Path(sys.executable).with_name("helio")], files, **setting) == expected
