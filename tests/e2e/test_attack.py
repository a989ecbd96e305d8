"""`helio attack`: attacks and proofs alone, with an answer of its own."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import HELIO
from tests.projects import linear_project

pytest.importorskip("torch", reason="needs the torch extra")
pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return linear_project(tmp_path / "tiny")


def test_only_attacks_run_and_the_numbers_are_said_with_what_they_cost(helio, project):
    said = helio("attack", "--project", project, "--allow-code", "--preset", "standard")
    assert "evasion.pgd: passed" in said.out
    assert "evasion.ensemble: passed" in said.out
    assert "certificate.bounds: passed" in said.out
    assert "robust accuracy" in said.out
    assert "clean accuracy" in said.out
    assert "forward and" in said.out
    assert "scan.files" not in said.out
    told = helio("attack", "--project", project, "--allow-code", "--preset", "standard", "--format", "json")
    ran = {run["check"] for run in told.json()["runs"] if run["code"] != "deselected"}
    assert ran
    assert all(name.startswith(("evasion.", "certificate.")) for name in ran)
    assert said.code == told.code
    assert any(run["reused_from"] for run in told.json()["runs"])


def test_a_floor_that_is_not_reached_says_no(helio, project):
    config = project / "heliotrope.yaml"
    text = config.read_text()
    changed = text.replace("robust_accuracy: 0.1", "robust_accuracy: 0.9").replace("eps: 0.05", "eps: 0.4")
    assert changed != text
    config.write_text(changed)
    said = helio("attack", "--project", project, "--allow-code", "--only", "evasion.pgd")
    assert said.code == 1
    assert "wanted robust_accuracy ≥ 0.9" in " ".join(said.out.split())


def test_without_consent_nothing_is_attacked_and_that_is_no_pass(helio, project):
    said = helio("attack", "--project", project)
    assert said.code == 3
    assert "--allow-code" in said.out


def test_a_model_that_is_not_there_is_an_error_of_usage(helio, project):
    said = helio("attack", "nobody", "--project", project, "--allow-code")
    assert said.code == 2
    assert "no model is called 'nobody'" in said.err


def test_an_attack_that_was_killed_goes_on_and_ends_as_one_that_was_not(helio, project, tmp_path):
    config = project / "heliotrope.yaml"
    config.write_text(
        config.read_text().replace("eps: 0.05, steps: 10, restarts: 2", "eps: 0.05, steps: 40, restarts: 2")
    )
    twin = tmp_path / "twin"
    shutil.copytree(project, twin)
    chosen = ("--allow-code", "--only", "evasion.ensemble", "--preset", "deep", "--format", "json")
    running = subprocess.Popen(
        [HELIO, "attack", "--project", str(project), *chosen],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 100
    while not list((project / ".heliotrope" / "unfinished").glob("*/ensemble")):
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    running.wait()
    after = helio("attack", "--project", project, *chosen)
    whole = helio("attack", "--project", twin, *chosen)
    told, expected = after.json()["evidence"], whole.json()["evidence"]
    assert [item["id"] for item in told] == [item["id"] for item in expected]
    assert told
    assert not list((project / ".heliotrope" / "unfinished").iterdir())


class _Opens:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return (open, (str(self._path), "w"))


OFFLINE = """
import socket
import torch


def build():
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=2)
    except OSError:
        pass
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
"""


def test_a_hostile_checkpoint_is_refused_and_nothing_of_it_runs(helio, project, tmp_path):
    """The whole way of an attack and of an explanation, with weights that are a program."""
    import torch

    made = tmp_path / "it-ran"
    (project / "weights.safetensors").unlink()
    torch.save({"1.weight": _Opens(made), "1.bias": torch.zeros(3)}, project / "weights.pt")
    config = project / "heliotrope.yaml"
    config.write_text(config.read_text().replace("weights.safetensors", "weights.pt"))
    for command in (("attack", "--only", "evasion.pgd"), ("explain",)):
        said = helio(*command, "--project", project, "--allow-code", "--preset", "quick")
        assert said.code == 3, said.out
    assert (
        "holds more than tensors" in helio("attack", "--project", project, "--allow-code", "--only", "evasion.pgd").out
    )
    assert not made.exists()


def test_an_attack_reaches_nobody(helio, project):
    """The loader tries to call a server of this machine: where the system permits it, the worker has no network at all."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        (project / "network.py").write_text(OFFLINE.replace("PORT", str(server.getsockname()[1])))
        said = helio("attack", "--project", project, "--allow-code", "--only", "evasion.pgd", "--format", "json")
        (run,) = [one for one in said.json()["runs"] if one["check"] == "evasion.pgd"]
        if run["environment"].get("network") != "none":
            pytest.skip("this system lets no process leave the network")
        with pytest.raises(TimeoutError):
            server.accept()
        assert run["outcome"] == "passed"
