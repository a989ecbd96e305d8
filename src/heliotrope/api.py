"""Heliotrope from Python: the same checks, the same gate, typed results that show themselves in a notebook.

>>> from heliotrope.api import Threat, assess, attack, explain, scan
>>> result = assess(model, X_test, y_test, threat=Threat(eps=0.1), floors={"clean_accuracy": 0.9})
>>> result.verdict
'allow'

Nothing is global and nothing is recorded unless you ask for it: a model at hand is judged in this process, by the pack
`model`; a path is a project, and is judged as `helio assess` does it, with reports and ledger.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from heliotrope.config.schema import OutputKind, Suite, ThreatConfig
from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.decisions import RuleResult, Verdict
from heliotrope.core.errors import UsageError
from heliotrope.core.findings import Finding, Severity
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Outcome
from heliotrope.core.predicates.behaviour import EVASION_PREDICATE, EvasionPredicate, Norm
from heliotrope.core.predicates.scan import FileReport, ScanDocument, ScanVerdict

__all__ = ["Assessed", "Attacked", "Explained", "Scanned", "Threat", "assess", "attack", "explain", "scan"]

Progress = Callable[[float, float, str], None]
"""Called with (done, total, text)."""


@dataclass(frozen=True, slots=True)
class Threat:
    """What an attacker may do to an input."""

    eps: float
    """Largest change: in the units of the inputs, for tables in spreads of each column."""
    norm: Norm = "Linf"
    steps: int | None = None
    """Of each attempt; None: 40 along gradients, 100 to 1000 questions where there are none."""
    restarts: int = 5

    def configured(self) -> ThreatConfig:
        return ThreatConfig(norm=self.norm, eps=self.eps, steps=self.steps, restarts=self.restarts)


@dataclass(frozen=True, slots=True)
class Assessed:
    """A decision and everything it rests on."""

    assessment: Assessment
    _read_blob: Callable[[str], bytes | None] = field(repr=False)

    @property
    def verdict(self) -> Verdict:
        """allow, deny or needs-review."""
        return self.assessment.decision.verdict

    @property
    def reason(self) -> str:
        """One sentence: the first thing that stands in the way, or that nothing does."""
        return self.assessment.decision.reason

    @property
    def exit_code(self) -> int:
        """What `helio assess` would return: 0 pass, 1 no, 3 inconclusive."""
        return self.assessment.exit_code

    @property
    def rules(self) -> tuple[RuleResult, ...]:
        return self.assessment.decision.rules

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.assessment.findings

    @property
    def runs(self) -> tuple[RunEntry, ...]:
        return self.assessment.runs

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return self.assessment.measurements

    def __getitem__(self, metric: str) -> Measurement:
        """The measurement of that name; KeyError names those there are. The last one where several subjects have it."""
        for measurement in reversed(self.measurements):
            if measurement.metric == metric:
                return measurement
        raise KeyError(f"{metric}: measured are {', '.join(sorted({item.metric for item in self.measurements}))}")

    def to_json(self) -> str:
        """The document of `helio assess --format json`."""
        from heliotrope.report import render_json

        return render_json(self.assessment)

    def to_html(self) -> str:
        """The report as one page without script or outside request."""
        from heliotrope.lifecycle.rules import all_rules
        from heliotrope.report import render_html

        return render_html(self.assessment, read_blob=self._read_blob, rules=all_rules())

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the reports (HTML, JSON, SARIF, JUnit, Markdown) into a folder; their paths by format."""
        from heliotrope.lifecycle.reports import write_reports

        return write_reports(self.assessment, Path(folder), read_blob=self._read_blob)

    def __str__(self) -> str:
        from heliotrope.report import render_terminal

        return render_terminal(self.assessment, width=100)

    def _repr_html_(self) -> str:
        from heliotrope.report.notebook import assessment_html

        return assessment_html(self.assessment, self.to_html())


@dataclass(frozen=True, slots=True)
class Attacked:
    """What an attack found. `evidence` is None when it could not be carried out: see `outcome`."""

    outcome: Outcome
    evidence: EvasionPredicate | None
    findings: tuple[Finding, ...]
    measurements: tuple[Measurement, ...]
    blobs: Mapping[str, bytes] = field(repr=False)
    """Pictures and the file of broken samples, by SHA-256."""

    @property
    def robust_accuracy(self) -> float | None:
        """None when the attack was unsound or could not be carried out: no number is better than a wrong one."""
        found = next((item for item in self.measurements if item.metric == "robust_accuracy"), None)
        return found.value if found is not None else None

    def adversarial(self) -> "dict[str, Any] | None":
        """The broken samples as arrays (index, label, original, perturbed), or None when there are none in arrays."""
        if self.evidence is None or self.evidence.samples is None:
            return None
        import io

        import numpy as np

        with np.load(io.BytesIO(self.blobs[self.evidence.samples.sha256]), allow_pickle=False) as packed:
            return {name: packed[name] for name in packed.files}

    def _repr_html_(self) -> str:
        from heliotrope.report.notebook import attack_html

        return attack_html(self.evidence, self.outcome.reason)


@dataclass(frozen=True, slots=True)
class Explained:
    """What a model looks at, as far as the checks that explain could find out, and the pictures of it."""

    assessment: Assessment
    _read_blob: Callable[[str], bytes | None] = field(repr=False)

    @property
    def runs(self) -> tuple[RunEntry, ...]:
        """What was asked, with outcome and reason; the details are in `evidence`."""
        return self.assessment.runs

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.assessment.findings

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return self.assessment.measurements

    def evidence(self, check: str) -> dict[str, Any] | None:
        """What a check found, as in explain.attributions, in the shape of its predicate; None when it came to nothing."""
        known = {entry.id: entry.predicate for entry in self.assessment.evidence}
        held = [digest for run in self.runs if run.check == check for digest in run.evidence]
        return next((known[digest] for digest in held if digest in known), None)

    def pictures(self) -> dict[str, bytes]:
        """Charts and sheets as SVG and the maps as PNG, by file name."""
        from heliotrope.report import explanation_files

        return {file.name: file.data for file in explanation_files(self.assessment, self._read_blob)}

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the pictures and a page that shows them all; their paths, the page first. Raises OutputError."""
        from heliotrope.lifecycle.explaining import export_pictures

        return export_pictures(self.assessment, Path(folder), read_blob=self._read_blob)

    def to_html(self) -> str:
        """The explanations as one page without script or outside request."""
        from heliotrope.report import render_explanations

        return render_explanations(self.assessment, read_blob=self._read_blob)

    def __str__(self) -> str:
        from heliotrope.report import render_explain

        return render_explain(self.assessment, self.runs, width=100)

    def _repr_html_(self) -> str:
        from heliotrope.report.notebook import explain_html

        return explain_html(self.assessment, self.to_html())


@dataclass(frozen=True, slots=True)
class Scanned:
    """What inspecting files found. Nothing in them was executed."""

    document: ScanDocument

    @property
    def verdict(self) -> ScanVerdict:
        return self.document.verdict

    @property
    def decision(self) -> ScanVerdict:
        """The raw verdict, or what scan.allow of the configuration that was named makes of it."""
        return self.document.decided

    @property
    def files(self) -> tuple[FileReport, ...]:
        return self.document.files

    def to_json(self) -> str:
        from heliotrope.report import render_json

        return render_json(self.document)

    def __str__(self) -> str:
        from heliotrope.report import render_scan_terminal

        return render_scan_terminal(self.document, width=100)

    def _repr_html_(self) -> str:
        from heliotrope.report.notebook import scan_html

        return scan_html(self.document)


def assess(
    model: object,
    inputs: object = None,
    answers: object = None,
    *,
    threat: Threat | None = None,
    floors: Mapping[str, float] | None = None,
    labels: Sequence[str] | None = None,
    output: OutputKind | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    regression: bool = False,
    name: str = "model",
    suite: Suite | None = None,
    sample: int | Literal["all"] | None = None,
    seed: int | None = None,
    fail_on: Severity | None = None,
    allow_code: bool = False,
    progress: Progress | None = None,
) -> Assessed:
    """Judge a model at hand, or a project by its path.

    A model (torch module, estimator, or function from inputs to scores) with labelled data: `inputs` an array n x ... or a
    DataFrame, `answers` n class indices or names, or numbers with `regression`. Without `threat` the attack is
    inconclusive, without `floors` the rules on numbers are unknown: nothing is allowed that was not looked at.

    A path: as `helio assess PATH` with its heliotrope.yaml, ledger and reports; `allow_code` is the consent to run its code.

    Raises UsageError for arguments that do not belong together, InputError for data that do not fit the model,
    MissingExtraError for a library that is not installed.
    """
    if isinstance(model, str | Path):
        live = {"inputs": inputs, "answers": answers, "threat": threat, "floors": floors, "labels": labels}
        given = [key for key, value in live.items() if value is not None]
        if given:
            raise UsageError(f"a path is a project: {given[0]} belongs into its heliotrope.yaml")
        chosen = {"suite": suite, "seed": seed, "sample": sample}
        return _assess_path(Path(model), chosen, allow_code=allow_code, fail_on=fail_on)
    from heliotrope.lifecycle.live import assess_live
    from heliotrope.subjects.live import LiveSettings, open_live

    if inputs is None or answers is None:
        raise UsageError("a model at hand needs inputs and answers", hint="assess(model, X_test, y_test, ...)")
    settings = LiveSettings(
        name=name,
        regression=regression,
        output=output,
        labels=tuple(labels) if labels is not None else None,
        input_range=input_range,
        threat=threat.configured() if threat is not None else None,
        sample=sample,
        suite=suite or "standard",
        seed=seed or 0,
    )
    with open_live(model, inputs, answers, settings) as opened:
        done = assess_live(opened, floors=floors or {}, fail_on=fail_on, progress=progress)
    return Assessed(done.assessment, done.blobs.get)


def attack(
    model: object,
    inputs: object,
    answers: object,
    *,
    threat: Threat,
    labels: Sequence[str] | None = None,
    output: OutputKind | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    name: str = "model",
    suite: Suite = "standard",
    sample: int | Literal["all"] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """Attack a model at hand: by gradients where it is a torch module on images, by queries otherwise. Arguments as for assess."""
    from heliotrope.lifecycle.live import attack_live
    from heliotrope.subjects.live import LiveSettings, open_live

    settings = LiveSettings(
        name=name,
        output=output,
        labels=tuple(labels) if labels is not None else None,
        input_range=input_range,
        threat=threat.configured(),
        sample=sample,
        suite=suite,
        seed=seed,
    )
    with open_live(model, inputs, answers, settings) as opened:
        result, blobs = attack_live(opened, progress=progress)
    found = next((item for item in result.evidence if item.predicate_type == EVASION_PREDICATE), None)
    evidence = EvasionPredicate.model_validate(found.predicate) if found is not None else None
    return Attacked(result.outcome, evidence, result.findings, result.measurements, blobs)


def explain(
    model: object,
    inputs: object,
    answers: object,
    *,
    previous: object = None,
    reference: tuple[object, object] | None = None,
    labels: Sequence[str] | None = None,
    output: OutputKind | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    regression: bool = False,
    name: str = "model",
    suite: Suite = "deep",
    sample: int | Literal["all"] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Explained:
    """What a model at hand looks at: attributions, shortcuts, hints at triggers, and whether any of it can be trusted.

    `previous` is an earlier version, `reference` inputs and answers of an earlier time: what the decision rests on is
    compared with either. The suite standard leaves out what is costly. Other arguments as for assess.
    """
    from contextlib import ExitStack
    from dataclasses import replace

    from heliotrope.lifecycle.live import assess_live
    from heliotrope.subjects.live import LiveSettings, open_live, with_earlier

    settings = LiveSettings(
        name=name,
        regression=regression,
        output=output,
        labels=tuple(labels) if labels is not None else None,
        input_range=input_range,
        sample=sample,
        suite=suite,
        seed=seed,
    )
    with ExitStack() as stack:
        opened = stack.enter_context(open_live(model, inputs, answers, settings))
        earlier = None
        if previous is not None:
            named = replace(settings, name=f"previous {name}"[:100].replace(" ", "-"))
            earlier = stack.enter_context(open_live(previous, inputs, answers, named))
        whole = with_earlier(opened, settings, previous=earlier, reference=reference)
        done = assess_live(whole, floors={}, only=("explain.*",), progress=progress)
    return Explained(done.assessment, done.blobs.get)


def scan(
    *things: str | Path | bytes,
    config: str | Path | None = None,
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Scanned:
    """Inspect files, folders, and bytes at hand; nothing is loaded, imported or executed.

    `config` is a heliotrope.yaml whose scan.analysers take part and whose scan.allow makes the decision. `jobs` processes
    share the work, None: as many as pay. A path that is not there is a file of the result with the verdict incomplete.
    """
    import io
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from heliotrope.config.loader import load_config
    from heliotrope.engine.files import WalkProblem
    from heliotrope.scan._service import list_paths, scan_targets
    from heliotrope.scan.deciding import decide
    from heliotrope.scan.inspecting import Target
    from heliotrope.scan.registry import NONE, enable
    from heliotrope.scan.spooling import spooled

    configured = load_config(Path(config)).config.scan if config is not None else None
    analysers = enable(configured.enabled) if configured is not None else NONE
    with ExitStack() as stack:
        found: list[Target | WalkProblem] = []
        for number, thing in enumerate(things):
            if isinstance(thing, bytes):
                found.append(stack.enter_context(spooled(io.BytesIO(thing), f"<bytes {number}>", "bytes")))
            else:
                found += list_paths([Path(thing)])
        document = scan_targets(found, jobs=jobs, analysers=analysers, progress=progress)
    if configured is not None:
        document = decide(document, configured.allow, datetime.now(UTC).date())
    return Scanned(document)


def _assess_path(path: Path, chosen: dict[str, Any], *, allow_code: bool, fail_on: Severity | None) -> Assessed:
    from heliotrope.lifecycle.assessing import AssessOptions
    from heliotrope.lifecycle.assessing import assess as assess_project

    options = AssessOptions(settings=chosen, allow_code=allow_code, fail_on=fail_on)
    done = assess_project(path, options)
    return Assessed(done.assessment, done.read_blob)
