""".pre-commit-hooks.yaml, tried with pre-commit itself in a git repository."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT
from tests.docs.setups import SETUPS

from heliotrope.scan.recognised import MODEL_EXTENSIONS

HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
BIN = Path(sys.executable).parent


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    environment |= names | {key.replace("AUTHOR", "COMMITTER"): value for key, value in names.items()}

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, arguments)], cwd=folder, env=environment, timeout=timeout, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    assert run("git", "init", "-q").returncode == 0
    run.folder = folder
    return run


def configure(run, *hooks):
    """The hooks as they are published, but with the helio that is installed here instead of one in a new environment."""
    local = [{**HOOKS[name], "language": "system"} for name in hooks]
    (run.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": local}]}))
    installed = run(sys.executable, "-m", "pre_commit", "install")
    assert installed.returncode == 0, installed.stdout


def commit(run, *names):
    assert run("git", "add", *names).returncode == 0
    return run("git", "commit", "-q", "-m", "x")


def test_a_commit_with_a_malicious_model_is_refused_and_one_with_a_clean_one_is_not(repository):
    configure(repository, "heliotrope-scan")
    SETUPS["downloads"](repository.folder)
    refused = commit(repository, ".pre-commit-config.yaml", "downloads/model.pkl")
    assert refused.returncode != 0
    assert "pickle-dangerous-call" in refused.stdout
    repository("git", "rm", "-q", "--cached", "downloads/model.pkl")
    taken = commit(repository, "downloads/weights.pkl")
    assert taken.returncode == 0, taken.stdout


def test_a_commit_without_models_asks_nobody(repository):
    configure(repository, "heliotrope-scan", "heliotrope-assess")
    (repository.folder / "notes.txt").write_text("nothing")
    taken = commit(repository, "notes.txt")
    assert taken.returncode == 0, taken.stdout
    assert "Skipped" in taken.stdout
    assert "assess the models" not in taken.stdout


def test_the_assessment_runs_when_it_is_asked_for(repository):
    configure(repository, "heliotrope-assess")
    SETUPS["downloads"](repository.folder)
    arguments = ("run", "--hook-stage", "manual", "--all-files", "heliotrope-assess")
    said = repository(sys.executable, "-m", "pre_commit", *arguments)
    assert said.returncode == 1
    assert "DENIED" in said.stdout


def test_every_name_that_promises_a_model_is_looked_at():
    pattern = re.compile(HOOKS["heliotrope-scan"]["files"])
    missed = sorted(extension for extension in MODEL_EXTENSIONS if not pattern.search(f"folder/model{extension}"))
    assert missed == []
    assert pattern.search("MODEL.PKL")
    assert not pattern.search("model.py")


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_published_hook_installs_itself(repository, tmp_path):
    """Needs a package index."""
    clone = tmp_path / "heliotrope"
    assert repository("git", "clone", "-q", ROOT, clone).returncode == 0
    SETUPS["downloads"](repository.folder)
    repository("git", "add", ".")
    command = (sys.executable, "-m", "pre_commit", "try-repo", clone, "heliotrope-scan", "--all-files")
    said = repository(*command, timeout=500)
    assert said.returncode == 1, said.stdout
    assert "pickle-dangerous-call" in said.stdout
