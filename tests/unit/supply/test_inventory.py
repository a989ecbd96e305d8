"""supply.inventory: every file with digest and role; what could not be taken in is never silent."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from heliotrope.core.evidence import Blob
from heliotrope.core.outcomes import Inconclusive, Passed
from heliotrope.core.predicates.inventory import INVENTORY_PREDICATE, InventoryPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.files import digest_inputs, tree_digest
from heliotrope.engine.interface import Limits, Project, Task
from heliotrope.engine.registry import find_check
from heliotrope.supply.checks import inventory, plan
from heliotrope.supply.inventory import role_of
from heliotrope.supply.rules import LINK_LEAVES_TREE


class Context:
    """A run that nobody watches."""

    limits = Limits()

    def __init__(self, workdir: Path, during: Callable[[], None] = lambda: None) -> None:
        self.workdir = workdir
        self._during = during

    def progress(self, done: float, total: float, text: str = "") -> None:
        self._during()

    def store(self, data: bytes, media_type: str) -> Blob:
        raise AssertionError("an inventory keeps no blobs")


def project_of(path: Path) -> Project:
    root = path if path.is_dir() else path.parent
    return Project(name="p", root=root, paths=(path,), config=None, config_path=None, suite="quick")


def run(path: Path, between: Callable[[], None] = lambda: None) -> tuple[CheckResult, InventoryPredicate]:
    (planned,) = plan(project_of(path))
    task = Task(
        check="supply.inventory",
        subject=planned.subject,
        root=str(project_of(path).root),
        parameters=planned.parameters.document(),
        inputs=digest_inputs(planned.inputs),
        seed=0,
    )
    between()
    result = inventory(task, Context(path.parent))
    (statement,) = result.evidence
    assert statement.predicate_type == INVENTORY_PREDICATE
    return result, InventoryPredicate.model_validate(statement.predicate)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, data in {"weights/model.pt": b"w", "data/test.npz": b"d", "net.py": b"c", "README.md": b"r"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_the_check_is_registered_for_projects():
    descriptor = find_check("supply.inventory")
    assert (descriptor.applies_to, descriptor.isolation, descriptor.extra) == ("project", "worker", None)
    assert not descriptor.runs_project_code


def test_every_file_is_listed_with_digest_and_role(project):
    result, predicate = run(project)
    assert isinstance(result.outcome, Passed)
    assert {file.artifact.path: file.role for file in predicate.files} == {
        "README.md": "document",
        "data/test.npz": "data",
        "net.py": "code",
        "weights/model.pt": "model",
    }
    for file in predicate.files:
        data = (project / file.artifact.path).read_bytes()
        assert (file.artifact.sha256, file.artifact.size) == (hashlib.sha256(data).hexdigest(), len(data))
    listing = [(file.artifact.path, file.artifact.size, file.artifact.sha256) for file in predicate.files]
    assert predicate.tree_digest == tree_digest(iter(listing))
    assert (predicate.total_files, predicate.total_bytes) == (4, 4)


def test_the_statement_is_about_models_data_and_the_tree(project):
    result, predicate = run(project)
    subjects = {item.name: item.digest.sha256 for item in result.evidence[0].subject}
    assert set(subjects) == {".", "data/test.npz", "weights/model.pt"}
    assert subjects["."] == predicate.tree_digest


def test_a_project_of_one_file(project):
    result, predicate = run(project / "weights/model.pt")
    assert isinstance(result.outcome, Passed)
    assert [file.artifact.path for file in predicate.files] == ["model.pt"]


def test_a_link_that_leaves_is_a_finding_and_leaves_the_outcome_open(project):
    (project / "out.pt").symlink_to("/etc/passwd")
    result, predicate = run(project)
    assert isinstance(result.outcome, Inconclusive)
    assert result.outcome.reason == "could not be taken in: out.pt: link leaves the folder"
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("inventory-link-leaves-tree", "low")
    assert finding.rule == LINK_LEAVES_TREE.id
    assert finding.locations[0].path == "out.pt"
    assert [problem.path for problem in predicate.problems] == ["out.pt"]
    assert run(project)[0].findings[0].fingerprint == finding.fingerprint


def test_a_link_that_stays_is_no_finding(project):
    (project / "in.pt").symlink_to("weights/model.pt")
    result, predicate = run(project)
    assert isinstance(result.outcome, Passed)
    assert result.findings == ()
    assert predicate.total_files == 5


def test_a_farm_of_links_is_bounded_and_counted(project):
    for index in range(250):
        (project / f"l{index}").symlink_to("/etc/passwd")
    result, _ = run(project)
    assert len(result.findings) == 101
    assert sum(finding.count for finding in result.findings) == 250
    assert isinstance(result.outcome, Inconclusive)
    assert result.outcome.reason.endswith("(and 249 more)")


def test_what_was_passed_over_is_in_the_evidence(project):
    (project / ".git").mkdir()
    (project / ".git/payload.pkl").write_bytes(b"x")
    _, predicate = run(project)
    assert [item.path for item in predicate.skipped] == [".git"]
    assert all(not file.artifact.path.startswith(".git") for file in predicate.files)


def test_an_empty_project_is_no_pass(tmp_path):
    (tmp_path / "empty").mkdir()
    result, _ = run(tmp_path / "empty")
    assert result.outcome == Inconclusive(reason="there is no file here")


def test_a_change_between_planning_and_running_is_no_pass(project):
    result, _ = run(project, lambda: (project / "net.py").write_bytes(b"changed"))
    assert isinstance(result.outcome, Inconclusive)
    assert "changed while they were examined" in result.outcome.reason
    result, _ = run(project / "net.py", lambda: (project / "net.py").write_bytes(b"again"))
    assert isinstance(result.outcome, Inconclusive)


def test_hostile_names_stay_apart_and_printable(project):
    Path(f"{project}/m\udcff.pt").write_bytes(b"one")
    Path(f"{project}/m\\xff.pt").write_bytes(b"two")
    (project / "\x1b[31m.pipe").symlink_to("/etc/passwd")
    result, predicate = run(project)
    assert len({file.artifact.path for file in predicate.files}) == 6
    assert isinstance(result.outcome, Inconclusive)
    assert result.outcome.reason.isprintable()


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("MODEL.PTH", "model"),
        ("a.safetensors", "model"),
        ("x.pkl", "model"),
        ("t10k-images-idx3-ubyte.gz", "data"),
        ("img.JPG", "data"),
        ("requirements-dev.txt", "lock"),
        ("uv.lock", "lock"),
        ("pylock.toml", "lock"),
        ("Pipfile.lock", "lock"),
        ("environment.yml", "lock"),
        ("config.json", "configuration"),
        ("a.ipynb", "notebook"),
        ("notes.txt", "document"),
        ("LICENSE", "document"),
        ("Makefile", "code"),
        ("strange", "other"),
        ("archive.zip", "other"),
        (".pt", "model"),
    ],
)
def test_roles_by_name(name, role):
    assert role_of(name) == role
