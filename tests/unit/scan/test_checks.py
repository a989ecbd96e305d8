"""The check scan.files: its plan, and an outcome for each verdict."""

import pickle
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, glob

from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.scan import SCAN_PREDICATE, ScanPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Limits, Project, Task
from heliotrope.engine.registry import find_check

PLAIN = pickle.dumps({"a": 1}, 4)
PAYLOAD = b"\x80\x04" + SYSTEM + b"."


class Context:
    """A run context that keeps nothing."""

    limits = Limits()

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir

    def progress(self, done: float, total: float, text: str = "") -> None:
        assert done <= total

    def store(self, data: bytes, media_type: str) -> Blob:
        raise NotImplementedError


def run(root: Path, *paths: Path) -> CheckResult:
    descriptor = find_check("scan.files")
    project = Project("demo", root, paths or (root,), None, None, "standard")
    (planned,) = descriptor.plan(project)
    task = Task(
        check="scan.files",
        subject=planned.subject,
        root=str(root),
        parameters=planned.parameters.document(),
        inputs={},
        seed=0,
    )
    return descriptor.function(task, Context(root))


def test_it_is_registered_light_and_without_consent() -> None:
    descriptor = find_check("scan.files")
    assert (descriptor.applies_to, descriptor.isolation, descriptor.extra) == ("project", "worker", None)
    assert not descriptor.runs_project_code


def test_the_plan_names_what_is_examined(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(PLAIN)
    plan = find_check("scan.files").plan
    (whole,) = plan(Project("demo", tmp_path, (tmp_path,), None, None, "quick"))
    assert whole.inputs == {"tree": tmp_path}
    assert whole.subject.urn == "urn:heliotrope:demo:project:demo"
    (single,) = plan(Project("demo", tmp_path, (tmp_path / "m.pkl",), None, None, "quick"))
    assert single.inputs == {"m.pkl": tmp_path / "m.pkl"}


@pytest.mark.parametrize(
    ("files", "state", "reason"),
    [
        ({"a.pkl": PLAIN}, "passed", "1 model file is clean"),
        ({"a.pkl": PLAIN, "sub/evil.pkl": PAYLOAD}, "failed", "sub/evil.pkl is malicious"),
        ({"a.pkl": b"\x80\x04" + glob("acme", "Net") + b")R."}, "failed", "a.pkl is suspicious"),
        ({"a.pkl": PLAIN[:-1]}, "inconclusive", "a.pkl was not fully inspected"),
        ({"a.bin": b"tjgg" + bytes(40)}, "inconclusive", "a.bin is of a format that cannot be inspected (ggml)"),
        ({"README.md": b"# hello"}, "not_applicable", "there is no model file"),
    ],
)
def test_each_verdict_has_its_outcome(files: dict[str, bytes], state: str, reason: str, tmp_path: Path) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    outcome = run(tmp_path).outcome
    assert outcome.state == state
    assert outcome.reason.startswith(reason)


def test_nothing_to_scan_is_proved_by_facts(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hello")
    result = run(tmp_path)
    assert result.outcome.state == "not_applicable"
    assert result.outcome.facts == ("1 files seen, none of them a model file by content or by name",)
    assert result.evidence == ()


def test_evidence_names_every_judged_file_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(PLAIN)
    (tmp_path / "b.pkl").write_bytes(PAYLOAD)
    (tmp_path / "gone.pkl").symlink_to("nowhere")
    result = run(tmp_path)
    (statement,) = result.evidence
    assert statement.predicate_type == SCAN_PREDICATE
    assert [item.name for item in statement.subject] == ["a.pkl", "b.pkl"]
    predicate = ScanPredicate.model_validate(statement.predicate)
    assert [report.path for report in predicate.files] == ["a.pkl", "b.pkl", "gone.pkl"]
    assert {report.path: report.sha256 for report in predicate.files if report.sha256} == {
        item.name: item.digest.sha256 for item in statement.subject
    }


def test_findings_belong_to_the_project_and_keep_their_identity(tmp_path: Path) -> None:
    (tmp_path / "b.pkl").write_bytes(PAYLOAD)
    (first,) = run(tmp_path).findings
    (tmp_path / "b.pkl").write_bytes(b"\x80\x04" + b"N0" * 50 + SYSTEM + b".")
    (second,) = run(tmp_path).findings
    assert first.subject == "urn:heliotrope:demo:project:demo"
    assert first.locations[0].path == "b.pkl"
    assert first.locations != second.locations
    assert first.fingerprint == second.fingerprint
    (tmp_path / "b.pkl").rename(tmp_path / "c.pkl")
    assert run(tmp_path).findings[0].fingerprint != first.fingerprint


def test_a_single_file_is_judged_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# hello")
    assert run(tmp_path, tmp_path / "notes.md").outcome.state == "inconclusive"
