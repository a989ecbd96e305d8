"""The types a check meets: what it is asked (Task), what surrounds it (RunContext), and how it describes itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from heliotrope.config.schema import HeliotropeConfig, Suite
from heliotrope.core.evidence import Blob
from heliotrope.core.findings import Rule
from heliotrope.core.outcomes import Outcome
from heliotrope.core.predicates.scan import ScanAllowance
from heliotrope.core.records import Record, Sha256
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject

__all__ = [
    "CheckDescriptor",
    "CheckFunction",
    "ConsentKind",
    "CostClass",
    "Isolation",
    "Limits",
    "Planned",
    "Project",
    "RunContext",
    "Task",
]

CostClass = Literal["quick", "standard", "deep"]
Isolation = Literal["inline", "worker"]
ConsentKind = Literal["none", "code", "network"]
"""What a run does that nobody may do unasked: run code of the project, or talk to a host that the project names."""


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be assessed. `config` is None for a file or folder without heliotrope.yaml."""

    name: str
    root: Path
    """The folder of heliotrope.yaml, or the folder (or parent of the file) named on the command line; absolute."""
    paths: tuple[Path, ...]
    """What to look at: (root,) as a rule."""
    config: HeliotropeConfig | None
    config_path: Path | None
    suite: Suite
    analysers: tuple[str, ...] = ()
    """Ids of third-party analysers of files that the configuration or the policy names; all others are off."""
    allow: tuple[ScanAllowance, ...] = ()
    """Names of the person's own code that model files may use, as the configuration or the policy says."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A check that wants to run on a subject."""

    subject: Subject
    parameters: Record
    inputs: dict[str, Path] = field(default_factory=dict)
    """Files and folders whose digests identify what is examined, by name."""
    missing: tuple[str, ...] = ()
    """Configuration keys that must be filled first; if any, the outcome is inconclusive and names them."""
    estimate_seconds: float = 1.0
    extra: str | None = None
    """The optional dependency group of this package that the subject needs, beyond the check's own."""
    modules: tuple[str, ...] = ()
    """Python modules by which that group is recognised."""
    consent: ConsentKind | None = None
    """What the run needs consent for; None: as the check says. `network` also leaves the worker its network."""
    outcome: Outcome | None = None
    """What is known from the plan alone, as that the check has no object here; then nothing is run."""
    reusable: bool = True
    """False where digests do not say what was examined, as for an endpoint: then it is always run again."""
    environment: tuple[str, ...] = ()
    """Environment variables that the run needs beyond the usual ones, as for a token; passed on with consent `network` only."""


class Task(Record):
    """One check on one subject, as it travels to a worker."""

    check: str
    subject: Subject
    root: str
    """Absolute path of the project folder."""
    parameters: dict[str, Any]
    """The check's own parameter record as JSON."""
    inputs: dict[str, Sha256]
    seed: int
    unfinished: str | None = None
    """Absolute path of a folder, not made yet, for what a long check goes on from when it was stopped: named by all that the
    result depends on, removed when the run concludes. Null where nothing is kept."""


class Limits(Record):
    """What a run may take. Reaching one is an error outcome, never a verdict."""

    wall_seconds: float = 1800.0
    memory_bytes: int = 8 * 2**30


class RunContext(Protocol):
    """What surrounds a running check."""

    @property
    def limits(self) -> Limits: ...

    @property
    def workdir(self) -> Path:
        """A temporary folder of this run's own."""

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Say how far it is; also the point where a cancelled run stops (raises RunCancelled)."""

    def store(self, data: bytes, media_type: str) -> Blob:
        """Keep bytes beside the ledger under their digest."""


CheckFunction = Callable[[Task, RunContext], CheckResult]


@dataclass(frozen=True, slots=True)
class CheckDescriptor:
    """What is known of a check without importing anything heavy."""

    id: str
    """Dotted, as in evasion.pgd."""
    version: str
    title: str
    applies_to: Literal["project", "model"]
    cost: CostClass
    isolation: Isolation
    runs_project_code: bool
    """Needs consent: --allow-code or a trust mark."""
    extra: str | None
    """The optional dependency group of Heliotrope that it needs; for a check of another package, what pip is to install."""
    modules: tuple[str, ...]
    """Python modules that must be importable, by which the extra is recognised."""
    parameters: type[Record]
    plan: Callable[[Project], Iterator[Planned]]
    function: CheckFunction
    rules: tuple[Rule, ...] = ()
    """Rules that its findings name, as far as Heliotrope itself does not bring them."""
    documentation: str = ""
    """Where it is described, for a check of another package."""
    on_request: bool = False
    """Planned only where it is named: no suite contains it."""

    @property
    def built_in(self) -> bool:
        """Whether it comes with Heliotrope itself."""
        return self.function.__module__.partition(".")[0] == __name__.partition(".")[0]

    @property
    def requirement(self) -> str:
        """What pip is to install when its modules are missing."""
        return f"heliotrope[{self.extra}]" if self.built_in and self.extra else self.extra or ", ".join(self.modules)

    @property
    def docs(self) -> str:
        """Where it is described: the section of the reference, as a rule."""
        if self.documentation:
            return self.documentation
        return f"docs/reference/checks.md#{self.id.replace('.', '-')}"
