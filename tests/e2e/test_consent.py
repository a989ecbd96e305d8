"""Code of a project runs only with consent, and consent ends when the code changes."""

from pathlib import Path

import pytest
from tests.projects import NETWORK, linear_project

pytest.importorskip("torch", reason="needs the torch extra")

MARKED = "from pathlib import Path\nPath(__file__).with_name('it-ran').write_text('x')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = linear_project(tmp_path / "tiny", network="import helper\n" + NETWORK)
    (folder / "helper.py").write_text(MARKED)
    return folder


def dynamic(document: dict) -> dict[str, dict]:
    return {run["check"]: run for run in document["runs"] if run["check"] in ("quality.performance", "evasion.pgd")}


@pytest.mark.torch
def test_without_consent_no_code_runs_and_the_way_to_give_it_is_named(helio, project):
    said = helio("assess", project, "--format", "json")
    assert said.code == 3
    for run in dynamic(said.json()).values():
        assert run["outcome"] == "inconclusive"
        assert "--allow-code" in run["needs"]
    helio("init", project, "--force")
    helio("scan", project)
    helio("config", "explain", project)
    assert not (project / "it-ran").exists()


@pytest.mark.torch
def test_consent_for_one_run_leads_to_a_decision(helio, project):
    said = helio("assess", project, "--allow-code", "--suite", "quick", "--format", "json")
    assert (project / "it-ran").exists()
    assert {run["outcome"] for run in dynamic(said.json()).values()} == {"passed"}
    assert said.code == 0, said.json()["decision"]


@pytest.mark.torch
def test_a_trust_mark_holds_until_any_python_file_changes(helio, project):
    assert helio("trust", "project", project).code == 0
    assert str(project) in helio("trust", "list").out
    assert helio("assess", project, "--suite", "quick", "-q").code == 0
    (project / "helper.py").write_text(MARKED + "# changed\n")
    (project / "it-ran").unlink()
    said = helio("assess", project, "--format", "json")
    assert said.code == 3
    assert "changed since it was trusted" in dynamic(said.json())["evasion.pgd"]["reason"]
    assert not (project / "it-ran").exists()
    helio("trust", "project", project)
    assert helio("assess", project, "--suite", "quick", "-q").code == 0
    helio("trust", "forget", project)
    assert helio("trust", "list").out.strip() == "no project is trusted"
    assert helio("assess", project, "--suite", "quick", "-q", "--fresh").code == 3


@pytest.mark.torch
def test_trust_marks_that_others_can_write_are_not_believed(helio, project, own_home):
    helio("trust", "project", project)
    (own_home / "config" / "trusted-projects.json").chmod(0o666)
    said = helio("assess", project)
    assert said.code == 2
    assert "others can write" in said.err


LOADERS = {
    "raises": ("raise ValueError('no such layer')", "ValueError: no such layer"),
    "exits": ("import sys\n    sys.exit(0)", "sys.exit"),
    "hard-exits": ("import os\n    os._exit(0)", "exited with code 0 without a result"),
    "hangs": ("import time\n    time.sleep(600)", "checks.time_limit"),
    "eats": ("kept = []\n    while True: kept.append(bytearray(b'x' * 2**25))", "checks.memory_limit"),
    "forks-and-answers": ("import os\n    if os.fork() == 0: return None\n    os._exit(3)", "exited with code 3"),
    "returns-text": ("return 'a model'", "nn.Module"),
}


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("kind", LOADERS)
def test_a_loader_that_misbehaves_is_an_outcome_and_never_a_pass(helio, project, kind):
    body, needle = LOADERS[kind]
    (project / "network.py").write_text(f"def build():\n    print('\\x1b[31mnoise')\n    {body}\n")
    text = (project / "heliotrope.yaml").read_text().replace("time_limit: 60", "time_limit: 12, memory_limit: 1.5")
    (project / "heliotrope.yaml").write_text(text)
    said = helio("assess", project, "--allow-code", "--format", "json", "--only", "evasion.*", "--only", "scan.*")
    run = dynamic(said.json())["evasion.pgd"]
    assert run["outcome"] in ("error", "inconclusive")
    assert needle in run["reason"]
    assert "\x1b" not in said.out
    assert said.code == 3
    assert next(run for run in said.json()["runs"] if run["check"] == "scan.files")["outcome"] == "passed"
