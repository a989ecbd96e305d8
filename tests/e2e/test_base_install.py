"""The built wheel in an empty virtual environment: what needs no extra works, what needs one names it. Needs a package index."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def helio_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "venv" / "bin" / "helio"


def run(helio: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helio, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def test_scanning_and_static_assessment_work(helio_alone, tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"N.")
    assert run(helio_alone, "scan", "model.pkl", cwd=tmp_path).returncode == 0
    assert run(helio_alone, "assess", "model.pkl", "-q", cwd=tmp_path).returncode == 0
    assert (tmp_path / ".heliotrope" / "reports").is_dir()


def test_a_missing_extra_is_one_line_that_names_it(helio_alone, tmp_path):
    from tests.projects import CONFIG, NETWORK

    (tmp_path / "heliotrope.yaml").write_text(CONFIG)
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (tmp_path / "test.npz").write_bytes(b"")
    said = run(helio_alone, "assess", "--allow-code", cwd=tmp_path)
    assert said.returncode == 3
    assert "pip install 'heliotrope[torch]'" in said.stdout
    assert "Traceback" not in said.stderr
    assert "pip install 'heliotrope[torch]'" in run(helio_alone, "doctor", cwd=tmp_path).stdout


def test_the_demo_says_what_it_could_not_build(helio_alone, tmp_path):
    said = run(helio_alone, "demo", "out", cwd=tmp_path)
    assert said.returncode == 3
    assert "Untrusted downloads: DENY (as expected" in said.stdout
    assert "pip install 'heliotrope[examples]'" in said.stdout
