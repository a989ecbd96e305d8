"""kill -9 at every step of an assessment: nothing acknowledged is lost, nothing half-written is taken for whole, the next run goes on."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heliotrope.core.errors import LedgerError
from heliotrope.ledger import Head, is_postgres, open_ledger

TESTS = Path(__file__).resolve().parent.parent
REPORTS = {"report.html", "report.json", "report.sarif", "report.junit.xml", "report.md", "bom.cdx.json"}
SAMPLE = 12
SEED = 20261124
EVERY = 10**9

SITECUSTOMIZE = """
import os, sys
if "heliotrope.engine.worker" in sys.orig_argv:
    sys.path.append({tests!r})
    from kill_steps import install
    write = os.write
    steps = os.open({folder!r} + "/worker-steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    install(int(open({folder!r} + "/worker-at").read()), lambda count, name: write(steps, (name + "\\n").encode()))
"""


@dataclass
class Said:
    code: int
    out: str
    err: str
    steps: list[str]


class Server:
    """helio, again and again, without the price of starting it."""

    def __init__(self, folder: Path) -> None:
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE.format(tests=str(TESTS), folder=str(folder)))
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, TESTS / "kill_server.py", folder / "site"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def run(
        self, project: Path, *arguments: object, at: int | None = None, worker_at: int = EVERY, group: bool = False
    ) -> Said:
        (self.folder / "worker-at").write_text(str(worker_at))
        (self.folder / "worker-steps").write_text("")
        request = {
            "arguments": list(map(str, arguments)),
            "cwd": str(project.parent),
            "env": {
                "HELIOTROPE_STATE_HOME": str(project.parent / "state"),
                "HELIOTROPE_CONFIG_HOME": str(project.parent / "config"),
                "TMPDIR": str(project.parent / "tmp"),
            },
            "at": at,
            "group": group,
            "folder": str(self.folder),
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        said = Said(**json.loads(self.process.stdout.readline()))
        assert "Traceback" not in said.err, said.err
        return said

    def worker_steps(self) -> list[str]:
        return (self.folder / "worker-steps").read_text().splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.process.communicate()


@dataclass
class World:
    """A project, its ledger, and what was acknowledged so far."""

    server: Server
    project: Path
    ledger: str
    acknowledged: list[str] = field(default_factory=list)
    """Heads that a command has printed."""

    def assess(self, *more: object, **kill: Any) -> Said:
        said = self.server.run(
            self.project, "assess", self.project, "--ledger", self.ledger, "--format", "json", *more, **kill
        )
        if said.out:
            try:
                self.acknowledged.append(json.loads(said.out)["ledger"]["head"])
            except ValueError:
                assert said.code == -signal.SIGKILL, "half a document from a run that says it ended"
        return said

    def whole(self) -> None:
        """Everything that may be relied on after a kill."""
        self.ledger_holds()
        self.reports_are_whole()
        self.nothing_runs()

    def ledger_holds(self) -> None:
        os.environ["HELIOTROPE_STATE_HOME"] = str(self.project.parent / "state")
        if self.acknowledged or Path(self.ledger).exists() or is_postgres(self.ledger):
            with self.opened() as ledger:
                if ledger is None:
                    return
                ledger.verify()
                for head in self.acknowledged:
                    ledger.verify(Head.parse(head))

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """The ledger; None where the first command was killed before it laid its tables on a server."""
        try:
            ledger = open_ledger(self.ledger)
        except LedgerError:
            if self.acknowledged or not is_postgres(self.ledger):
                raise
            yield None
            return
        with ledger:
            yield ledger

    def reports_are_whole(self) -> None:
        for folder in (self.project / ".heliotrope" / "reports").glob("*"):
            for path in folder.iterdir():
                if path.name.startswith("."):
                    continue
                assert path.name in REPORTS
                text = path.read_text("utf-8")
                if path.suffix in (".json", ".sarif"):
                    document = json.loads(text)
                    if path.name == "report.json":
                        with open_ledger(self.ledger) as ledger:
                            ledger.verify(Head.parse(document["ledger"]["head"]))
                            assert ledger.latest("assessment", "assessment", document["id"]) is not None
                elif path.suffix == ".xml":
                    ET.fromstring(text)
                elif path.suffix == ".html":
                    assert text.rstrip().endswith("</html>")

    def nothing_runs(self) -> None:
        until = time.monotonic() + 10
        while (alive := self._workers()) and time.monotonic() < until:
            time.sleep(0.02)
        assert not alive, "a worker outlived the command"

    def _workers(self) -> list[str]:
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and str((process / "cwd").readlink()).startswith(
                    f"{self.project.parent}/tmp"
                ):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
        return [line for line in found if line]

    def left_over(self) -> list[str]:
        """Folders of runs. One without a lock file, left by a kill between two system calls, is removed after an hour."""
        return [path.parent.name for path in (self.project.parent / "tmp").glob("*/lock")]


@pytest.fixture
def world(server: Server, tmp_path: Path, ledger_location: Callable[[Path], str]) -> World:
    return make_world(server, tmp_path, ledger_location)


def make_world(server: Server, folder: Path, ledger_location: Callable[[Path], str]) -> World:
    project = folder / "project"
    project.mkdir()
    (folder / "tmp").mkdir()
    (project / "heliotrope.yaml").write_text("version: 1\nproject: demo\n")
    (project / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (project / "notes.md").write_text("# Notes\n")
    return World(server, project, ledger_location(project))


def outline(said: Said) -> object:
    document = json.loads(said.out)
    decision = document["decision"]
    return (
        said.code,
        decision["verdict"],
        [(rule["rule"], rule["state"], rule["actual"]) for rule in decision["rules"]],
        sorted((run["check"], run["outcome"], run["reason"]) for run in document["runs"]),
        [run["inputs"] for run in document["runs"]],
    )


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, list[str], list[str]]:
    """What an assessment says when nobody kills it, and its steps and those of its workers."""
    world = make_world(
        server, tmp_path_factory.mktemp("undisturbed"), lambda project: str(project.parent / "ledger.db")
    )
    said = world.assess(at=EVERY)
    world.whole()
    assert world.left_over() == []
    return outline(said), said.steps, server.worker_steps()


def points(count: int, sample: int) -> list[int]:
    """The first, the last, and some between, the same ones every time."""
    if count <= sample:
        return list(range(1, count + 1))
    between = random.Random(SEED).sample(range(2, count), sample - 2)
    return [1, *sorted(between), count]


def goes_on(world: World, expected: object) -> None:
    again = world.assess()
    assert outline(again) == expected, [run["reason"] for run in json.loads(again.out)["runs"]]
    world.whole()
    assert world.left_over() == [], "temporary folders of dead runs are removed by the next"


def test_steps_are_seen(undisturbed):
    _, steps, worker = undisturbed
    text = "\n".join(steps)
    for needed in ("subprocess.Popen", "commit", "sql INSERT", "os.mkdir", "os.rename", "fsync", "os.link"):
        assert needed in text
    assert len(steps) > 60
    assert "write" in worker


def kill_everywhere(make: Callable[[], World], undisturbed: Any, sample: int) -> None:
    expected, steps, _ = undisturbed
    for at in points(len(steps), sample):
        world = make()
        said = world.assess(at=at, group=bool(at % 2))
        assert said.code == (-signal.SIGKILL if len(said.steps) >= at else 0), said.steps[-3:]
        world.whole()
        goes_on(world, expected)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_location(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """A file beside the project, or a place of its own on a server."""
    if request.param == "sqlite":
        return lambda project: str(project.parent / "ledger.db")
    server = request.getfixturevalue("postgres")
    return lambda _project: server.new_url()


@pytest.fixture
def make(server: Server, tmp_path: Path, ledger_location: Callable[[Path], str]) -> Callable[[], World]:
    counter = iter(range(10**6))

    def fresh() -> World:
        folder = tmp_path / f"{next(counter)}"
        folder.mkdir()
        return make_world(server, folder, ledger_location)

    return fresh


def test_killed_at_sampled_steps_of_a_first_assessment(make, undisturbed):
    kill_everywhere(make, undisturbed, SAMPLE)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_at_every_step_of_a_first_assessment(make, undisturbed):
    kill_everywhere(make, undisturbed, EVERY)


def test_killed_again_and_again_in_one_ledger_nothing_acknowledged_is_lost(world, undisturbed):
    """Each time a little further on, with files that change and evidence that is reused."""
    expected, steps, _ = undisturbed
    assert outline(world.assess()) == expected
    for at in points(len(steps), 6):
        world.assess("--fresh", at=at)
        world.whole()
    goes_on(world, expected)
    assert len(world.acknowledged) >= 2


def test_a_worker_killed_at_any_step_is_an_error_and_the_next_run_concludes(world, undisturbed):
    expected, _, worker = undisturbed
    for at in points(len(worker) // 3, 3):  # three static checks, a worker each
        said = world.assess("--fresh", worker_at=at)
        assert said.code == 3, "what was not seen is no pass"
        document = json.loads(said.out)
        killed = [run for run in document["runs"] if "was killed by SIGKILL" in run["reason"]]
        assert killed
        assert {(run["outcome"], run["code"]) for run in killed} == {("error", "crashed")}
        world.whole()
    goes_on(world, expected)


def system_calls(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        "strace", "-f", "-o", str(world.project.parent / "trace"), *arguments,
        Path(sys.executable).with_name("helio"), "assess", world.project, "--ledger", world.ledger, "-q",
    ]  # fmt: skip
    env = {
        **os.environ,
        "HELIOTROPE_STATE_HOME": str(world.project.parent / "state"),
        "TMPDIR": str(world.project.parent / "tmp"),
    }
    return subprocess.run(command, env=env, cwd=world.project.parent, capture_output=True, text=True, check=False)


CALLS = (
    "rename", "link", "mkdir", "unlink", "ftruncate", "fsync", "fdatasync", "pwrite64", "write",
    "vfork", "clone3", "unlinkat", "rmdir", "fchmod",
)  # fmt: skip
"""System calls that change something. Being killed at any other one is being killed after one of these."""


def traced(world: World) -> list[tuple[str, int]]:
    """Each call of the command itself with its number among its like."""
    done = system_calls(world, "-e", f"trace={','.join(CALLS)}")
    if done.returncode != 0:
        pytest.skip(f"processes cannot be traced here: {done.stderr[-200:]}")
    lines = (world.project.parent / "trace").read_text("utf-8", "replace").splitlines()
    own = [line.split(maxsplit=1)[1] for line in lines if line.split()[0] == lines[0].split()[0]]
    names = [line.partition("(")[0] for line in own]
    return [(name, names[: place + 1].count(name)) for place, name in enumerate(names) if name in CALLS]


def killed_at_system_calls(make: Callable[[], World], undisturbed: Any, sample: int) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    found = traced(make())
    chosen = points(len(found), sample)
    killed = 0
    for place in chosen:
        name, number = found[place - 1]
        world = make()
        done = system_calls(world, "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={number}")
        assert done.returncode in (-signal.SIGKILL, 0), (name, number, done.stderr)
        killed += done.returncode != 0
        world.whole()
        goes_on(world, undisturbed[0])
    # System calls vary from run to run, but not by much; of a handful, some may lie beyond the end.
    assert killed >= (0.9 * len(chosen) if len(chosen) > 20 else 1)


@pytest.mark.parametrize("ledger_location", ["sqlite"], indirect=True)
def test_killed_at_sampled_system_calls(make, undisturbed):
    """Of the command itself; what a server does when its clients die is shown in tests/integration."""
    killed_at_system_calls(make, undisturbed, 3)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_killed_at_every_system_call(make, undisturbed):
    """Also within SQLite: between two pages of its log, before and after each sync."""
    killed_at_system_calls(make, undisturbed, EVERY)
