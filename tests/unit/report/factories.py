"""Assessments to draw reports from: a denied model with pictures, hostile text everywhere, every outcome, and nothing at all."""

import hashlib
import math
import struct
import unicodedata
import zlib
from typing import Any, get_args

from heliotrope.core.assessments import (
    Assessment,
    Difference,
    EvidenceEntry,
    LedgerReference,
    ProjectReference,
    RunEntry,
    Tool,
)
from heliotrope.core.decisions import Decision, PolicyReference, RuleResult, RuleState
from heliotrope.core.evidence import Blob
from heliotrope.core.findings import SEVERITIES, Finding, Fix, Location, Rule, fingerprint
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.outcomes import OutcomeState
from heliotrope.core.predicates.behaviour import (
    EVASION_PREDICATE,
    PERFORMANCE_PREDICATE,
    AdversarialExample,
    ClassPerformance,
    CurvePoint,
    EvasionPredicate,
    HealthIndicator,
    PerformancePredicate,
    RestartResult,
    ThreatModel,
)
from heliotrope.core.predicates.scan import (
    SCAN_PREDICATE,
    FileReport,
    Incomplete,
    ScanDocument,
    ScanFinding,
    ScanPredicate,
    ScanSummary,
    ScanTool,
)
from heliotrope.core.records import Record, content_id
from heliotrope.core.runs import Cost
from heliotrope.core.subjects import Artifact, Subject, subject_urn

POLICY = "5d" * 32
HEAD = f"42:{'9c' * 32}"


def visible(text: str) -> bool:
    """Whether every character but the line feed can be seen: no control, format, surrogate, private or unassigned one."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return not any(unicodedata.category(char) in hidden for char in text if char != "\n")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def png(pixel: Any, side: int = 28) -> bytes:
    """A grey PNG whose pixels are a function of column and row."""
    rows = b"".join(b"\x00" + bytes(min(max(int(pixel(x, y)), 0), 255) for x in range(side)) for y in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Blobs(dict[str, bytes]):
    def keep(self, data: bytes) -> Blob:
        key = hashlib.sha256(data).hexdigest()
        self[key] = data
        return Blob(sha256=key, size=len(data), media_type="image/png")


RULES = (
    Rule(
        id="pickle-dangerous-call",
        title="A pickle calls a dangerous function",
        severity="critical",
        help="Loading this file runs code of whoever made it.",
        fix=Fix(text="Do not load the file. Ask its author for a safetensors file."),
        taxonomy=("CWE-502", "AML.T0011"),
    ),
    Rule(
        id="evasion-weak",
        title="The model gives way to small perturbations",
        severity="high",
        help="Changes that nobody sees turn the answer.",
        fix=Fix(text="Train adversarially with the declared threat."),
        taxonomy=("AML.T0015", "ML01:2023"),
    ),
    Rule(id="never-used", title="Unused", severity="low", help="Nobody uses it.", fix=Fix(text="Nothing.")),
)

SUBJECTS = (
    Subject(urn=subject_urn("digits", "project", "digits"), kind="project", name="digits"),
    Subject(
        urn=subject_urn("digits", "model", "classifier"),
        kind="model",
        name="classifier",
        artifacts=(
            Artifact(path="models/classifier.safetensors", sha256=digest("weights"), size=458_120),
            Artifact(path="loader.py", sha256=digest("loader"), size=901, media_type="text/x-python"),
        ),
    ),
)
PROJECT, MODEL = SUBJECTS[0].urn, SUBJECTS[1].urn


def entry(subject: dict[str, str], predicate_type: str, predicate: Record | dict[str, Any]) -> EvidenceEntry:
    data = predicate.document() if isinstance(predicate, Record) else predicate
    name = content_id({"subject": subject, "type": predicate_type, "predicate": data})
    return EvidenceEntry(id=name, predicate_type=predicate_type, subject=subject, predicate=data)


def run_entry(check: str, outcome: OutcomeState, **fields: Any) -> RunEntry:
    made = {
        "id": f"01JRUN{abs(int(digest(check + outcome)[:10], 16)):020d}",
        "check": check,
        "version": "1",
        "title": check.replace(".", " ").capitalize(),
        "subject": MODEL,
        "outcome": outcome,
        "reason": "",
        "parameters_digest": digest(check),
        "seed": 0,
        "environment": {"python": "3.11.2", "platform": "linux-x86_64"},
        "cost": Cost(wall_seconds=1.25, cpu_seconds=1.1),
    }
    return RunEntry(**{**made, **fields})


def interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, method="clopper-pearson")


def examples(blobs: Blobs, names: tuple[str, ...]) -> tuple[AdversarialExample, ...]:
    made = []
    for index in range(6):

        def stroke(x: int, y: int, turn: float = 0.6 * index) -> float:
            ring = abs(math.hypot(x - 13.5, (y - 13.5) * 0.8) - 7.5)
            gap = math.cos(math.atan2(y - 13.5, x - 13.5) - turn)
            return 255 * max(0.0, 1 - ring / 2.2) * (0.15 if gap > 0.8 else 1.0)

        def noise(x: int, y: int, step: int = index) -> int:
            return 25 if (x * 7 + y * 13 + step * 5) % 5 < 2 else -25

        made.append(
            AdversarialExample(
                index=115 + 97 * index,
                label=index,
                label_name=names[index % len(names)],
                adversarial_prediction=(index + 3) % 10,
                adversarial_name=names[(index + 3) % len(names)],
                clean_confidence=0.9991 - 0.011 * index,
                adversarial_confidence=0.87 - 0.05 * index,
                linf=0.1,
                l2=1.871 + 0.03 * index,
                original=blobs.keep(png(stroke)),
                perturbed=blobs.keep(png(lambda x, y, s=stroke, n=noise: s(x, y) + n(x, y))),
                difference=blobs.keep(png(lambda x, y, n=noise: 127 + 4 * n(x, y))),
            )
        )
    return tuple(made)


def evasion(blobs: Blobs, names: tuple[str, ...] = tuple("0123456789")) -> EvasionPredicate:
    points = ((0.025, 0.9431), (0.05, 0.8812), (0.075, 0.7920), (0.1, 0.6894))
    curve = tuple(
        CurvePoint(eps=eps, accuracy=value, n=10_000, interval=interval(value - 0.009, value + 0.009))
        for eps, value in points
    )
    health = (
        HealthIndicator(
            id="clean-as-declared",
            title="Clean accuracy is as declared",
            state="ok",
            wanted="98.20 % ± 1 %",
            actual="98.20 %",
            explanation="The model was loaded and fed as its team does it.",
        ),
        HealthIndicator(
            id="zero-gradients",
            title="Gradients are not masked",
            state="warning",
            wanted="less than 5 % zero gradients",
            actual="6.1 %",
            explanation="Where the gradient is exactly zero, the attack has no direction to go.",
        ),
        HealthIndicator(
            id="norm",
            title="The norm bound was kept",
            state="ok",
            wanted="at most 0.1",
            actual="0.1",
            explanation="Measured again on what was produced.",
        ),
        HealthIndicator(
            id="more-steps",
            title="More steps change little",
            state="unknown",
            wanted="less than 1 %",
            actual="not measured",
            explanation="The suite standard does not repeat the attack with more steps.",
        ),
    )
    return EvasionPredicate(
        attack="pgd",
        threat=ThreatModel(
            norm="Linf", eps=0.1, steps=40, restarts=5, step_size=0.00625, input_low=0.0, input_high=1.0
        ),
        n=10_000,
        clean_correct=9_820,
        broken=2_926,
        clean_accuracy=0.982,
        clean_interval=interval(0.9792, 0.9845),
        robust_accuracy=0.6894,
        robust_interval=interval(0.6802, 0.6985),
        curve=curve,
        restarts=(RestartResult(restart=0, attacked=9_820, broken=2_701),),
        health=health,
        health_verdict="doubtful",
        forward_passes=1_900_000,
        gradient_passes=1_820_000,
        examples=examples(blobs, names),
        samples=None,
        data={"images": digest("images"), "labels": digest("labels")},
    )


def performance() -> PerformancePredicate:
    return PerformancePredicate(
        n=10_000,
        correct=9_820,
        accuracy=0.982,
        interval=interval(0.9792, 0.9845),
        classes=tuple(ClassPerformance(label=index, name=str(index), n=1000, correct=982) for index in range(10)),
        data={"images": digest("images"), "labels": digest("labels")},
    )


def scan_files(path: str = "downloads/resnet.pt") -> tuple[FileReport, ...]:
    dangerous = ScanFinding(
        rule="pickle-dangerous-call",
        severity="critical",
        confidence="high",
        fingerprint=fingerprint("pickle-dangerous-call", "file", "posix.system"),
        message="calls posix.system when it is loaded",
        global_="posix.system",
        count=2,
        locations=(Location(member="archive/data.pkl", offset=27), Location(member="archive/data.pkl", offset=512)),
        taxonomy=("CWE-502", "AML.T0011"),
        fix=Fix(text="Do not load the file. Ask its author for a safetensors file."),
    )
    return (
        FileReport(
            path=path,
            sha256=digest("resnet"),
            size=1_203_456,
            format="torch-zip",
            verdict="malicious",
            findings=(dangerous,),
        ),
        FileReport(
            path="models/classifier.safetensors",
            sha256=digest("weights"),
            size=458_120,
            format="safetensors",
            verdict="clean",
        ),
        FileReport(
            path="downloads/half.pkl",
            sha256=digest("half"),
            size=2_048,
            format="pickle",
            verdict="incomplete",
            incomplete=(Incomplete(reason="ends in the middle of an opcode", location=Location(offset=2_047)),),
        ),
    )


def scan_document(files: tuple[FileReport, ...] | None = None) -> ScanDocument:
    files = scan_files() if files is None else files
    summary = ScanSummary(
        files_seen=len(files) + 4,
        files_judged=len(files),
        not_judged=4,
        bytes_judged=sum(item.size or 0 for item in files),
        verdicts={},
        findings={},
    )
    tool = ScanTool(version="0.1.0", policy_digest=POLICY)
    return ScanDocument(tool=tool, verdict=files[0].verdict if files else "clean", files=files, summary=summary)


def rule(name: str, state: RuleState, **fields: Any) -> RuleResult:
    made = {"rule": name, "title": name.replace("-", " ").capitalize(), "subject": MODEL, "wanted": "", "actual": ""}
    return RuleResult(**{**made, "state": state, **fields})


def policy(*differences: str) -> PolicyReference:
    return PolicyReference(name="default", source="built-in", digest=POLICY, differences=differences)


def assessment(**fields: Any) -> Assessment:
    made = {
        "id": "01JDSKQ5Z0ASSESSMENT000001",
        "tool": Tool(version="0.1.0", policy_digest=POLICY),
        "project": ProjectReference(name="digits", path="examples/digits", configuration="heliotrope.yaml"),
        "suite": "standard",
        "started_at": "2026-11-23T08:15:00.000Z",
        "finished_at": "2026-11-23T08:17:31.250Z",
        "subjects": SUBJECTS,
        "runs": (),
        "measurements": (),
        "findings": (),
        "evidence": (),
        "decision": Decision(
            verdict="needs-review", reason="no rule of the policy applies to anything here", policy=policy(), rules=()
        ),
        "exit_code": 3,
        "ledger": LedgerReference(location=".heliotrope/ledger.db", head=HEAD),
    }
    return Assessment(**{**made, **fields})


def measured(metric: str, value: float, low: float, high: float, **conditions: str | float) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        n=10_000,
        interval=interval(low, high),
        direction="higher",
        subject=MODEL,
        conditions=conditions,
    )


def denied() -> tuple[Assessment, Blobs]:
    """A model that misses its robustness floor, beside a file that should not be loaded."""
    blobs = Blobs()
    files = {"images.npy": digest("images"), "models/classifier.safetensors": digest("weights")}
    attack = entry(files, EVASION_PREDICATE, evasion(blobs))
    clean = entry(files, PERFORMANCE_PREDICATE, performance())
    scanned = scan_document()
    looked = entry(
        {item.path: item.sha256 for item in scanned.files if item.sha256},
        SCAN_PREDICATE,
        ScanPredicate(tool=scanned.tool, verdict=scanned.verdict, files=scanned.files, summary=scanned.summary),
    )
    dangerous = scanned.files[0].findings[0]
    weak = fingerprint("evasion-weak", MODEL, "pgd")
    findings = (
        Finding(
            rule="pickle-dangerous-call",
            severity="critical",
            confidence="high",
            message="downloads/resnet.pt calls posix.system when it is loaded",
            subject=PROJECT,
            fingerprint=dangerous.fingerprint,
            count=2,
            locations=tuple(place.model_copy(update={"path": "downloads/resnet.pt"}) for place in dangerous.locations),
            fix=dangerous.fix,
            taxonomy=dangerous.taxonomy,
        ),
        Finding(
            rule="evasion-weak",
            severity="high",
            confidence="high",
            message="31.06 % of inputs are misread when each pixel may change by 0.1",
            subject=MODEL,
            fingerprint=weak,
            fix=Fix(text="Train adversarially with the declared threat."),
            taxonomy=("AML.T0015", "ML01:2023"),
        ),
    )
    torch = {"torch": "2.13.0+cpu", "python": "3.11.2", "platform": "linux-x86_64", "isolation": "worker"}
    runs = (
        run_entry(
            "scan.files",
            "failed",
            subject=PROJECT,
            title="Static inspection of model files",
            reason="1 of 3 files is malicious",
            evidence=(looked.id,),
            findings=(dangerous.fingerprint,),
        ),
        run_entry(
            "quality.performance",
            "passed",
            title="Accuracy on clean data",
            evidence=(clean.id,),
            environment=torch,
            reused_from="01JDSKQ5Z0EARLIERRUN000001",
        ),
        run_entry(
            "evasion.pgd",
            "failed",
            title="Evasion by projected gradient descent",
            reason="2,926 of 9,820 samples broke",
            evidence=(attack.id,),
            findings=(weak,),
            environment=torch,
            cost=Cost(wall_seconds=141.2, cpu_seconds=188.4, peak_memory_bytes=912_000_000),
        ),
        run_entry(
            "evasion.square",
            "skipped",
            title="Evasion without gradients",
            reason="not part of the suite standard",
            code="suite",
            needs=("--suite deep",),
        ),
    )
    rules = (
        rule(
            "robust-accuracy",
            "fail",
            title="Accuracy under attack is good enough",
            wanted="robust_accuracy ≥ 0.8",
            metric="robust_accuracy",
            lowest=0.8,
            actual="0.6894 [0.6802, 0.6985], n = 10000",
            remediation="Train adversarially (see examples/digits), or reduce what an attacker can reach.",
            evidence=(attack.id,),
        ),
        rule(
            "model-files-clean",
            "fail",
            title="Every model file was inspected to its end and found clean",
            subject=PROJECT,
            wanted="verdict clean for every model file",
            actual="downloads/resnet.pt is malicious",
            remediation="Do not load the file. Replace it by a safetensors file from its author.",
            evidence=(looked.id,),
        ),
        rule(
            "attack-sound",
            "unknown",
            title="The attack itself worked, so its number can be relied on",
            wanted="health_verdict is sound",
            actual="doubtful",
            reason="one health indicator warns",
            needs=("threat.restarts", "--suite deep"),
            evidence=(attack.id,),
        ),
        rule(
            "clean-accuracy",
            "pass",
            title="Accuracy on clean data is good enough",
            wanted="clean_accuracy ≥ 0.97",
            metric="clean_accuracy",
            lowest=0.97,
            actual="0.9820 [0.9792, 0.9845], n = 10000",
            evidence=(clean.id,),
        ),
        rule(
            "licence", "not_applicable", title="Licences allow the use", subject=PROJECT, wanted="known", actual="none"
        ),
    )
    change = Difference(
        previous="01JDSKQ5Z0PREVIOUS00000001",
        previous_finished_at="2026-11-20T16:40:00.000Z",
        new_findings=(dangerous.fingerprint,),
        fixed_findings=(digest("fixed")[:32],),
        verdict_before="needs-review",
        measurements={f"robust_accuracy of {MODEL}": (0.7012, 0.6894)},
    )
    decided = Decision(
        verdict="deny",
        reason="robust-accuracy: wanted robust_accuracy ≥ 0.8, got 0.6894 [0.6802, 0.6985], n = 10000 (and 1 more rules)",
        policy=policy("floor clean_accuracy is 0.97", "floor robust_accuracy is 0.8"),
        rules=rules,
    )
    result = assessment(
        runs=runs,
        measurements=(
            measured("clean_accuracy", 0.982, 0.9792, 0.9845),
            measured("robust_accuracy", 0.6894, 0.6802, 0.6985, norm="Linf", eps=0.1),
            Measurement(
                metric="certified_accuracy",
                value=None,
                undefined_reason="no certificate was computed",
                n=0,
                direction="higher",
                subject=MODEL,
            ),
        ),
        findings=findings,
        evidence=(looked, clean, attack),
        decision=decided,
        exit_code=1,
        difference=change,
    )
    return result, blobs


def every_outcome() -> Assessment:
    """One run of each outcome, one rule of each state, one finding of each severity."""
    reasons = {
        "inconclusive": {"reason": "the input range is not declared", "needs": ("models[0].input.range",)},
        "skipped": {
            "reason": "the extra torch is not installed",
            "code": "missing_extra",
            "needs": ("heliotrope[torch]",),
        },
        "error": {"reason": "did not end within 1800 s", "code": "timeout"},
        "failed": {"reason": "found something"},
        "not_applicable": {"reason": "there is no lock file"},
    }
    runs = tuple(run_entry(f"check.{state}", state, **reasons.get(state, {})) for state in get_args(OutcomeState))
    rules = tuple(
        rule(f"rule-{state}", state, wanted="something", actual="something else", evidence=(digest("absent"),))
        for state in get_args(RuleState)
    )
    findings = tuple(
        Finding(
            rule=f"rule-{level}",
            severity=level,
            confidence="medium",
            message=f"a finding of severity {level}",
            subject=MODEL,
            fingerprint=digest(level)[:32],
            locations=(Location(path="data/train.csv", line=3), Location(path="blob.bin", offset=9)),
        )
        for level in SEVERITIES
    )
    generic = entry(
        {"thing": digest("thing")}, "https://example.org/other/v2", {"answer": 42, "nested": {"deep": [1, None]}}
    )
    return assessment(
        runs=runs,
        findings=findings,
        evidence=(generic,),
        decision=Decision(verdict="deny", reason="rule-fail: wanted something", policy=policy(), rules=rules),
        exit_code=1,
    )


def static_empty() -> Assessment:
    """A folder with nothing in it and no configuration."""
    return assessment(
        project=ProjectReference(name="empty", path="empty", configuration=None),
        subjects=(),
        ledger=LedgerReference(location="(memory)", head=None),
    )


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m\x07\x9b2J",
    "abc\u202egnp.exe\u2066\u200b\ufeff",
    "| a | `b` | **c** | [click](https://evil.example) ![x](https://evil.example/x.png)",
    "@everyone #1 https://evil.example www.evil.example <!-- x --> </details></summary>",
    '=HYPERLINK("https://evil.example","x")',
    "line\nbreak\r\n\n# heading\n- item\x00\x0b\x0c\x7f\x85\u2028",
    "not utf-8: \udcff\udc80, lone: \ud800, no character: \ufffe\uffff",
    "]]><![CDATA[ &amp; &#0; {{ 7 * 7 }} {% raw %} {0} %s",
    "n" * 5_000,
    "汉字" * 200,
    "``` ~~~ \\` \\| $x$ :smile: <b>",
)


def hostile(text: str) -> tuple[Assessment, Blobs]:
    """An assessment in which every free text is this one."""
    blobs = Blobs()
    broken = evasion(blobs, names=(text,)).model_copy(
        update={
            "attack": text,
            "health": (
                HealthIndicator(id=text, title=text, state="failed", wanted=text, actual=text, explanation=text),
            ),
            "health_verdict": "unsound",
        }
    )
    known = entry({"images.npy": digest("images")}, EVASION_PREDICATE, broken_free(broken))
    shown = EvidenceEntry(
        id=digest(text), predicate_type=text, subject={text: digest("x")}, predicate={text: [text, {"inner": text}]}
    )
    named = EvidenceEntry(
        id=known.id, predicate_type=EVASION_PREDICATE, subject={text: digest("y")}, predicate=broken.document()
    )
    subject = Subject(
        urn=text, kind="model", name=text, artifacts=(Artifact(path=text, sha256=digest("z"), size=1, media_type=text),)
    )
    place = Location(path=text, member=text, offset=12)
    finding = Finding(
        rule=text,
        severity="high",
        confidence="low",
        message=text,
        subject=text,
        fingerprint=text,
        count=3,
        locations=(place, place),
        fix=Fix(text=text),
        taxonomy=(text,),
    )
    runs = tuple(
        run_entry(
            text,
            state,
            id=text,
            version=text,
            title=text,
            subject=text,
            reason=text,
            code=text,
            needs=(text, text),
            evidence=(known.id, shown.id),
            findings=(text,),
            environment={text: text},
            reused_from=text,
        )
        for state in get_args(OutcomeState)
    )
    rules = tuple(
        RuleResult(
            rule=text,
            title=text,
            subject=text,
            wanted=text,
            actual=text,
            state=state,
            reason=text,
            needs=(text,),
            remediation=text,
            evidence=(shown.id,),
        )
        for state in get_args(RuleState)
    )
    measurement = Measurement(
        metric=text, value=0.5, n=3, direction="higher", subject=text, unit=text, conditions={text: text}
    )
    undefined = Measurement(
        metric=text, value=None, undefined_reason=text, n=0, direction="lower", subject=text, conditions={text: 1}
    )
    change = Difference(
        previous=text,
        previous_finished_at=text,
        new_findings=(text,),
        fixed_findings=(text,),
        verdict_before=text,
        measurements={text: (None, 1.0)},
    )
    result = assessment(
        id=text,
        tool=Tool(version=text, policy_digest=POLICY),
        project=ProjectReference(name=text, path=text, configuration=text),
        suite=text,
        started_at=text,
        finished_at=text,
        subjects=(subject,),
        runs=runs,
        measurements=(measurement, undefined),
        findings=(finding,),
        evidence=(shown, named),
        decision=Decision(
            verdict="deny",
            reason=text,
            policy=PolicyReference(name=text, source=text, digest=POLICY, differences=(text, text)),
            rules=rules,
        ),
        exit_code=1,
        ledger=LedgerReference(location=text, head=text),
        baseline=text,
        difference=change,
    )
    return result, blobs


def broken_free(predicate: EvasionPredicate) -> dict[str, Any]:
    """The predicate without its texts: surrogates have no canonical form."""
    return {"n": predicate.n}


def hostile_scan(text: str) -> ScanDocument:
    finding = ScanFinding(
        rule=text,
        severity="medium",
        confidence="low",
        fingerprint=text,
        message=text,
        global_=text,
        locations=(Location(member=text, offset=3), Location(path=text, line=4)),
        taxonomy=(text,),
        fix=Fix(text=text),
    )
    stopped = Incomplete(reason=text, limit=text, location=Location(member=text))
    report = FileReport(
        path=text, sha256=None, size=None, format=text, verdict="suspicious", findings=(finding,), incomplete=(stopped,)
    )
    return scan_document((report,)).model_copy(update={"tool": ScanTool(version=text, policy_digest=POLICY)})


def hostile_rule(text: str) -> Rule:
    return Rule(id=text, title=text, severity="high", help=text, fix=Fix(text=text), taxonomy=(text, "CWE-79"))
