"""supply.dependencies: which files are found, what is said of them, and when it may say that there is nothing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.supply.test_installed import distribution

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.evidence import Blob
from heliotrope.core.findings import Finding
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Passed
from heliotrope.core.predicates.dependencies import DEPENDENCIES_PREDICATE, DependenciesPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Limits, Planned, Project, Task
from heliotrope.engine.registry import find_check
from heliotrope.supply.checks import dependencies, plan_dependencies
from heliotrope.supply.dependencies import collecting
from heliotrope.supply.rules import RULES

A = "a" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
UV = f"""version = 1
[[package]]
name = "click"
version = "8.1"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [{{ url = "https://e.org/c.whl", hash = "sha256:{A}" }}]
"""


class Context:
    """A run that nobody watches."""

    limits = Limits()

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir

    def progress(self, done: float, total: float, text: str = "") -> None:
        pass

    def store(self, data: bytes, media_type: str) -> Blob:
        raise AssertionError("nothing is stored")


def planned(root: Path, *named: str, path: Path | None = None) -> tuple[Planned, Project]:
    config = HeliotropeConfig(version=1, project="p", dependencies=named) if named else None
    project = Project(name="p", root=root, paths=(path or root,), config=config, config_path=None, suite="quick")
    (one,) = plan_dependencies(project)
    return one, project


def run(root: Path, *named: str, path: Path | None = None) -> tuple[CheckResult, DependenciesPredicate | None]:
    one, _ = planned(root, *named, path=path)
    task = Task(
        check="supply.dependencies",
        subject=one.subject,
        root=str(root),
        parameters=one.parameters.document(),
        inputs=digest_inputs(one.inputs),
        seed=0,
    )
    result = dependencies(task, Context(root))
    for statement in result.evidence:
        assert statement.predicate_type == DEPENDENCIES_PREDICATE
        return result, DependenciesPredicate.model_validate(statement.predicate)
    return result, None


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    def make(**files: str) -> Path:
        root = tmp_path / "project"
        for name, text in {"code.py": "x = 1\n", **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return make


def found(result: CheckResult, rule: str) -> list[Finding]:
    assert not isinstance(result.outcome, Inconclusive), result.outcome
    return [finding for finding in result.findings if finding.rule == rule]


def test_the_check_is_registered_for_projects():
    descriptor = find_check("supply.dependencies")
    assert (descriptor.applies_to, descriptor.isolation, descriptor.extra) == ("project", "worker", None)
    assert not descriptor.runs_project_code


CASES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    (
        "dependencies-undeclared",
        {},
        {"requirements.txt": "x==1"},
    ),
    (
        "dependencies-undeclared",
        {"pyproject.toml": "[tool.black]\nline-length = 100\n"},
        {"pyproject.toml": "[project]\nname = 'x'\ndependencies = ['click']\n"},
    ),
    (
        "dependency-unpinned",
        {"requirements.txt": "x>=1"},
        {"requirements.txt": "x==1"},
    ),
    (
        "dependency-unpinned",
        {"requirements.txt": "x\n-c c.txt", "c.txt": "x>=1"},
        {"requirements.txt": "x\n-c c.txt", "c.txt": "X==1"},
    ),
    (
        "dependency-unpinned",
        {"environment.yml": "dependencies: [numpy=1.26]"},
        {"environment.yml": "dependencies: [numpy==1.26.4]"},
    ),
    (
        "dependency-unpinned",
        {"requirements.txt": "x"},
        {"requirements.in": "x", "requirements.txt": "x==1"},
    ),
    (
        "dependency-without-hash",
        {"requirements.txt": "x==1"},
        {"requirements.txt": f"x==1 --hash=sha256:{A}\n"},
    ),
    (
        "dependency-mutable-source",
        {"requirements.txt": "git+https://e.org/b@main#egg=b"},
        {"requirements.txt": f"git+https://e.org/b@{COMMIT}#egg=b"},
    ),
    (
        "dependency-mutable-source",
        {"requirements.txt": "x @ https://e.org/x-1.0.tar.gz"},
        {"requirements.txt": f"x @ https://e.org/x-1.0.tar.gz#sha256={A}"},
    ),
    (
        "dependency-mutable-source",
        {"pyproject.toml": "[project]\ndependencies = ['t @ git+https://e.org/t@main']\n"},
        {
            "pyproject.toml": "[project]\ndependencies = ['t @ git+https://e.org/t@main']\n",
            "uv.lock": f"version = 1\n[[package]]\nname = 't'\nversion = '1'\nsource = {{ git = 'https://e.org/t#{COMMIT}' }}\n",
        },
    ),
    (
        "dependency-unencrypted-source",
        {"requirements.txt": "-i http://pypi.example/simple\nx==1"},
        {"requirements.txt": f"-i http://pypi.example/simple\nx==1 --hash=sha256:{A}"},
    ),
    (
        "dependency-unencrypted-source",
        {"requirements.txt": "--trusted-host pypi.example\nx==1"},
        {"requirements.txt": "-i http://localhost:8080/simple\n--trusted-host 127.0.0.1:8080\nx==1"},
    ),
    (
        "dependency-unencrypted-source",
        {"requirements.txt": "git+http://e.org/b@main#egg=b"},
        {"requirements.txt": f"git+http://e.org/b@{COMMIT}#egg=b"},
    ),
    (
        "dependency-unencrypted-source",
        {"requirements.txt": "git+git://e.org/b#egg=b"},
        {"requirements.txt": "git+ssh://git@e.org/b#egg=b"},
    ),
    (
        "dependency-extra-index",
        {"requirements.txt": "--extra-index-url https://own.example/simple\nx==1"},
        {"requirements.txt": f"--extra-index-url https://own.example/simple\nx==1 --hash=sha256:{A}\n./local"},
    ),
    (
        "dependency-extra-index",
        {"requirements.txt": "--extra-index-url https://own.example/simple\n-r more.txt", "more.txt": "x==1"},
        {"requirements.txt": "--index-url https://own.example/simple\nx==1"},
    ),
    (
        "lock-out-of-step",
        {"pyproject.toml": "[project]\ndependencies = ['click>=8.2']\n", "uv.lock": UV},
        {"pyproject.toml": "[project]\ndependencies = ['click>=8']\n", "uv.lock": UV},
    ),
    (
        "lock-out-of-step",
        {"pyproject.toml": "[project]\ndependencies = ['click', 'rich']\n", "uv.lock": UV},
        {"pyproject.toml": "[project]\ndependencies = ['click', 'rich; os_name == \"nt\"']\n", "uv.lock": UV},
    ),
    (
        "lock-out-of-step",
        {"requirements.in": "click>=9", "requirements.txt": "click==8.1"},
        {"requirements.in": "click>=9", "requirements-dev.txt": "click==8.1"},
    ),
    (
        "locks-disagree",
        {"uv.lock": UV, "requirements.txt": "click==8.0"},
        {"uv.lock": UV, "requirements.txt": "click==8.1\nother==1"},
    ),
    (
        "locks-disagree",
        {"uv.lock": UV, "requirements.txt": "click==8.0"},
        {"uv.lock": UV, "other/requirements.txt": "click==8.0"},
    ),
]


@pytest.mark.parametrize(("rule", "bad", "good"), CASES)
def test_a_rule_speaks_and_keeps_silent(project, rule, bad, good):
    root = project(**bad)
    result, _ = run(root)
    findings = found(result, rule)
    assert findings
    for finding in findings:
        assert finding.message.isprintable()
        assert (finding.severity, finding.fix) == next((item.severity, item.fix) for item in RULES if item.id == rule)
    for name in bad:
        (root / name).unlink()
    assert found(run(project(**good))[0], rule) == []


def test_only_fetching_without_protection_is_serious_enough_to_deny():
    assert [rule.id for rule in RULES if rule.severity in {"critical", "high"}] == ["dependency-unencrypted-source"]


def test_an_ordinary_project_passes(project):
    root = project(**{"pyproject.toml": "[project]\ndependencies = ['click>=8']\n", "uv.lock": UV})
    result, predicate = run(root)
    assert result.outcome == Passed(reason="2 files about 1 package, 0 remarks")
    assert result.findings == ()
    assert predicate is not None
    assert [(file.path, file.role) for file in predicate.files] == [("pyproject.toml", "declares"), ("uv.lock", "pins")]
    assert {item.name for item in result.evidence[0].subject} == {"pyproject.toml", "uv.lock"}


def test_remarks_of_medium_severity_fail_and_lesser_ones_do_not(project):
    assert isinstance(run(project(**{"requirements.txt": "x"}))[0].outcome, Passed)
    failed = run(project(**{"requirements.txt": "git+https://e.org/b@main#egg=b"}))[0].outcome
    assert isinstance(failed, Failed)
    assert failed.reason == "requirements.txt: b comes from git at main, which can move"


def test_locations_and_fingerprints(project):
    root = project(**{"requirements.txt": "# a\nx>=1\ny\n"})
    (finding,) = found(run(root)[0], "dependency-unpinned")
    assert finding.count == 2
    assert [(place.path, place.line) for place in finding.locations] == [
        ("requirements.txt", 2),
        ("requirements.txt", 3),
    ]
    (root / "requirements.txt").write_text("\n\n\nx>=1\ny\n")
    assert found(run(root)[0], "dependency-unpinned")[0].fingerprint == finding.fingerprint


def test_many_remarks_of_one_rule_are_bounded_and_counted(project):
    text = "".join(f"git+https://e.org/b{index}@main#egg=b{index}\n" for index in range(150))
    findings = found(run(project(**{"requirements.txt": text}))[0], "dependency-mutable-source")
    assert len(findings) == 101
    assert sum(finding.count for finding in findings) == 150


def test_no_python_and_no_file_about_packages_is_not_applicable(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    result, predicate = run(tmp_path)
    assert isinstance(result.outcome, NotApplicable)
    assert predicate is None
    assert not result.findings


def test_a_folder_that_cannot_be_looked_into_proves_nothing(tmp_path):
    deep = tmp_path
    for index in range(70):
        deep = deep / str(index)
    deep.mkdir(parents=True)
    result, _ = run(tmp_path)
    assert isinstance(result.outcome, Inconclusive)
    assert "folders deep" in result.outcome.reason


def test_a_name_that_is_not_utf_8_is_not_passed_over(tmp_path):
    folder = tmp_path / "d\udcff"
    folder.mkdir()
    (folder / "requirements.txt").write_text("x==1")
    result, _ = run(tmp_path)
    assert isinstance(result.outcome, Inconclusive)
    assert "not valid UTF-8" in result.outcome.reason


def test_a_single_file(project):
    root = project(**{"requirements.txt": "x"})
    assert found(run(root, path=root / "requirements.txt")[0], "dependency-unpinned")
    result, _ = run(root, path=root / "code.py")
    assert [finding.rule for finding in result.findings] == ["dependencies-undeclared"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"requirements.txt": "x==1\n???"}, "requirements.txt:2: not a requirement"),
        ({"uv.lock": "version = "}, "uv.lock: is not TOML"),
        ({"requirements.txt": "-r missing.txt"}, "missing.txt: no such file"),
        ({"requirements.txt": "-r ../../other.txt"}, "requirements.txt:1: '../../other.txt': leads out of the project"),
        ({"requirements.txt": "-r /etc/passwd"}, "leads out of the project"),
        ({"requirements.txt": "-r https://e.org/r.txt"}, "nothing is fetched here"),
        (
            {"requirements.txt": "-r a.txt", "a.txt": "-r requirements.txt"},
            "a.txt:1: 'requirements.txt': includes itself",
        ),
        ({"requirements.txt": "-r requirements.txt"}, "includes itself"),
        ({"requirements.txt": "-r folder", "folder/x": ""}, "is a folder"),
        ({"environment.yml": "dependencies: [x]\ndependencies: [y]"}, "given twice"),
    ],
)
def test_what_cannot_be_read_is_inconclusive_and_names_the_place(project, files, reason):
    result, _ = run(project(**files))
    assert isinstance(result.outcome, Inconclusive)
    assert reason in result.outcome.reason
    assert str(project()) not in result.outcome.reason


def test_an_include_through_a_link_that_leaves_is_refused(project, tmp_path):
    (tmp_path / "outside.txt").write_text("secret==1")
    root = project(**{"requirements.txt": "-r inside.txt"})
    (root / "inside.txt").symlink_to(tmp_path / "outside.txt")
    result, predicate = run(root)
    assert isinstance(result.outcome, Inconclusive)
    assert "leads out" in result.outcome.reason
    assert "secret" not in repr(predicate)


def test_a_deep_chain_of_includes_ends(project):
    files = {f"r{index}.txt": f"-r r{index + 1}.txt" for index in range(30)}
    result, _ = run(project(**{"requirements.txt": "-r r0.txt", **files, "r30.txt": "x==1"}))
    assert isinstance(result.outcome, Inconclusive)
    assert "include each other" in result.outcome.reason


def test_files_that_are_included_are_inputs(project):
    root = project(
        **{"requirements.txt": "-r reqs/base.txt\n-c bounds.txt", "reqs/base.txt": "x", "bounds.txt": "x==1"}
    )
    assert sorted(planned(root)[0].inputs) == ["bounds.txt", "reqs/base.txt", "requirements.txt"]


def test_files_named_by_the_configuration(project):
    root = project(**{"deps/prod.txt": "git+https://e.org/b@main#egg=b"})
    assert not found(run(root)[0], "dependency-mutable-source")
    assert found(run(root, "deps/prod.txt")[0], "dependency-mutable-source")
    result, _ = run(root, "../elsewhere.txt")
    assert isinstance(result.outcome, Inconclusive)
    assert "leads out of the project" in result.outcome.reason


def test_an_environment_named_by_the_configuration(project):
    root = project(**{"requirements.txt": "a==1"})
    distribution(root / "site", "a", "Name: a\nVersion: 1\n", RECORD="")
    one, _ = planned(root, "site")
    assert sorted(one.inputs) == ["requirements.txt", "site/a-1.0.dist-info/METADATA", "site/a-1.0.dist-info/RECORD"]
    result, predicate = run(root, "site")
    assert predicate is not None
    assert [(file.path, file.role) for file in predicate.files] == [("requirements.txt", "pins"), ("site", "installed")]
    assert isinstance(result.outcome, Passed)
    assert isinstance(run(root, "deps")[0].outcome if (root / "deps").mkdir() is None else None, Inconclusive)


def test_too_much_in_all_is_told(project, monkeypatch):
    monkeypatch.setattr(collecting, "MAX_PACKAGES", 3)
    root = project(**{"requirements.txt": "a==1\nb==1", "x/requirements.txt": "c==1\nd==1"})
    result, predicate = run(root)
    assert isinstance(result.outcome, Inconclusive)
    assert "more than the limit of 3 packages" in result.outcome.reason
    assert predicate is not None
    assert [file.path for file in predicate.files] == ["requirements.txt"]
    monkeypatch.setattr(collecting, "MAX_FILES", 1)
    assert "more than the limit of 1" in run(root)[0].outcome.reason


def test_a_large_project_is_looked_through_quickly(tmp_path):
    import time

    for folder in range(100):
        (tmp_path / str(folder)).mkdir()
        for index in range(50):
            os.close(os.open(tmp_path / str(folder) / f"{index}.txt", os.O_CREAT))
    begin = time.process_time()
    one, _ = planned(tmp_path)
    assert time.process_time() - begin < 1.0
    assert one.inputs == {}
