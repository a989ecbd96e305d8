"""certificate.properties: properties in VNN-LIB, proven or broken, of ONNX networks."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify._planning import plan_certificates
from heliotrope.attack.certify.nets.graph import Network, NotModelled
from heliotrope.attack.certify.properties.deciding import PropertyVerdict, decide_property
from heliotrope.attack.certify.properties.vnnlib import MAX_BYTES, Property, parse_vnnlib
from heliotrope.attack.outcome import ticker
from heliotrope.attack.rules import PROPERTY_VIOLATED
from heliotrope.config.schema import ModelConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, fingerprint
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Passed
from heliotrope.core.predicates.certificates import PROPERTIES_PREDICATE, PropertiesPredicate, PropertyResult
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import printable
from heliotrope.engine.files import read_verified
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.planning import ModelTask
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["certificate_properties"]

_NODES = {"quick": 200, "standard": 5_000, "deep": 100_000}
_SHOWN = 64
_SECONDS = 30.0


def _has_properties(model: ModelConfig) -> bool:
    return bool(model.properties)


def _plan(project: Project) -> Iterator[Planned]:
    models = {model.name: model for model in project.config.models} if project.config is not None else {}
    wanted = _has_properties
    for planned in plan_certificates(
        project, needs=("loader",), estimate=_SECONDS, wanted=wanted, keeps=("properties",), requires_networks=True
    ):
        model = models[planned.subject.name]
        descriptor = format_of(model)
        outcome = planned.outcome
        if descriptor is not None and descriptor.format != "onnx":
            outcome = NotApplicable(
                reason="properties are about ONNX networks", facts=(f"format of {model.name} is {descriptor.format}",)
            )
        inputs = {key: path for key, path in planned.inputs.items() if key.startswith("weights")}
        inputs |= {f"property/{path}": project.root / path for path in model.properties}
        task = ModelTask.model_validate(planned.parameters.document())
        parameters = task.model_copy(update={"suite": project.suite})
        missing = tuple(key for key in planned.missing if not key.endswith(".task"))
        yield replace(planned, inputs=inputs, parameters=parameters, missing=missing, outcome=outcome)


@check(
    id="certificate.properties",
    version="1",
    title="Properties in VNN-LIB hold for every input within their bounds",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="standard",
)
def certificate_properties(task: Task, context: RunContext) -> CheckResult:
    """Decide every property. Failed by a counterexample on which onnxruntime was asked; inconclusive where one stays open."""
    parameters = ModelTask.model_validate(task.parameters)
    model, root = parameters.model, Path(task.root)
    subject = _read(model, root, task)
    nodes = _NODES[parameters.suite or "standard"]
    results, blobs = [], []
    tick = ticker(context, 0.0, 1.0, "deciding properties")
    for index, path in enumerate(model.properties):
        read = read_verified(root / path, max_bytes=MAX_BYTES)
        prop = _parsed(read.data, path)
        try:
            network = subject.network()
            found = decide_property(network, prop, subject.served, nodes=nodes, seed=task.seed)
        except NotModelled as fact:
            outcome = NotApplicable(reason=f"nothing can be proven of {model.name}: {fact}", facts=(f"onnx: {fact}",))
            return CheckResult(outcome=outcome)
        blob = _stored(found, context)
        blobs += [blob] if blob is not None else []
        results.append(_result(path, read.sha256, prop, found, blob))
        tick((index + 1) / len(model.properties))
    return _concluded(task, subject.digests, tuple(results), tuple(blobs))


@dataclass(frozen=True, slots=True)
class _Subject:
    data: bytes
    served: "Callable[[NDArray[np.float32]], NDArray[np.float64]]"
    digests: dict[str, str]

    def network(self) -> Network:
        from heliotrope.attack.certify.nets.from_onnx import from_onnx

        return from_onnx(self.data)


def _read(model: ModelConfig, root: Path, task: Task) -> _Subject:
    """The model by onnxruntime, for counterexamples, and its bytes."""
    import numpy as np

    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnx", module="onnxruntime") from None
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the onnx file in heliotrope.yaml")
    read = read_verified(root / model.path, max_bytes=2**31)
    expected = task.inputs.get("weights")
    if expected is not None and read.sha256 != expected:
        raise InputError("the model changed while the check was starting", hint="run again when nothing writes to it")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised anyway
    try:
        session = onnxruntime.InferenceSession(read.data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the library's errors have no common root
        raise InputError(
            f"onnxruntime does not open {printable(model.path)}: {type(error).__name__}", hint="export the model again"
        ) from None
    node: Any = session.get_inputs()[0]
    shape = [side if isinstance(side, int) else None for side in node.shape]

    def served(rows: "NDArray[np.float32]") -> "NDArray[np.float64]":
        form = [side or 1 for side in shape[1:]]
        answers = [session.run(None, {node.name: row.reshape(1, *form)})[0].reshape(1, -1) for row in rows]
        return np.concatenate(answers).astype(np.float64) if answers else np.empty((0, 1))

    return _Subject(read.data, served, {model.path: read.sha256})


def _parsed(data: bytes, path: str) -> Property:
    try:
        return parse_vnnlib(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{printable(path)} is no text", hint="VNN-LIB is text in UTF-8") from None
    except InputError as error:
        raise InputError(f"{printable(path)}: {error.message}", hint=error.hint) from None


def _stored(found: PropertyVerdict, context: RunContext) -> Blob | None:
    import numpy as np

    if found.example is None:
        return None
    buffer = io.BytesIO()
    np.save(buffer, found.example, allow_pickle=False)
    return context.store(buffer.getvalue(), "application/x-npy")


def _result(path: str, sha256: str, prop: Property, found: PropertyVerdict, blob: Blob | None) -> PropertyResult:
    short = found.example is not None and len(found.example) <= _SHOWN
    return PropertyResult(
        path=path,
        sha256=sha256,
        verdict=found.verdict,
        cases=len(prop.cases),
        nodes=found.nodes,
        inputs=tuple(float(one) for one in found.example) if short and found.example is not None else (),
        outputs=() if found.outputs is None else tuple(float(one) for one in found.outputs[:_SHOWN]),
        example=blob,
    )


def _concluded(
    task: Task, digests: dict[str, str], results: tuple[PropertyResult, ...], blobs: tuple[Blob, ...]
) -> CheckResult:
    violated = [one for one in results if one.verdict == "violated"]
    open_ = [one for one in results if one.verdict == "undecided"]
    holds, n = len(results) - len(violated) - len(open_), len(results)
    reason = f"{holds} of {n} properties hold, {len(violated)} are violated, {len(open_)} undecided"
    outcome: Passed | Failed | Inconclusive = Passed(reason=reason)
    if violated:
        outcome = Failed(reason=reason)
    elif open_:
        outcome = Inconclusive(reason=f"{reason}; a deeper suite spends more")
    unit = "direct summation in float32, in any order: no Winograd or Fourier convolutions, no reduced precision"
    return CheckResult(
        outcome=outcome,
        evidence=(statement(digests, PROPERTIES_PREDICATE, PropertiesPredicate(results=results, assumptions=(unit,))),),
        findings=tuple(
            Finding(
                rule=PROPERTY_VIOLATED.id,
                severity=PROPERTY_VIOLATED.severity,
                confidence="high",
                message=f"{printable(one.path)} does not hold: an input was found whose outputs are unsafe",
                subject=task.subject.urn,
                fingerprint=fingerprint(PROPERTY_VIOLATED.id, task.subject.urn, one.path),
                fix=PROPERTY_VIOLATED.fix,
                taxonomy=PROPERTY_VIOLATED.taxonomy,
            )
            for one in violated
        ),
        measurements=(
            Measurement(
                metric="properties_proven",
                value=holds / n,
                n=n,
                interval=exact_interval(holds, n),
                direction="higher",
                subject=task.subject.urn,
            ),
        ),
        blobs=blobs,
    )
