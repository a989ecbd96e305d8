"""The share of texts that stay right when an attacker may rewrite a few words so that readers hardly notice."""

from pathlib import Path

from heliotrope.attack.health.indicator import health_verdict
from heliotrope.attack.outcome import capped, conclude, ticker
from heliotrope.attack.rules import TEXT_EVASION_POSSIBLE
from heliotrope.attack.text.attacking import TextResult, TextTarget, attack_texts
from heliotrope.attack.text.edits import normalised, propose_edits
from heliotrope.attack.text.evidence import choose_texts, pack_texts, show_texts, words_of
from heliotrope.attack.text.health import AttackedTexts, examine_texts
from heliotrope.attack.text.interface import Candidate, Limits, Proposer, parse
from heliotrope.attack.text.words import WordTable, read_table
from heliotrope.config.schema import ModelConfig, TextEdit, TextThreatConfig
from heliotrope.core.errors import InputError
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Inconclusive, NotApplicable
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.files import read_verified
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_table, rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.planning import is_table
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval

__all__ = ["evasion_text"]

_QUESTIONS, _QUICK_QUESTIONS = 400, 150
_BATCH = 1024
_MAX_TABLE = 64 * 2**20
_REQUESTS = 0.6
"""Share of an endpoint's budget that the attack may use; the rest is for health and retries."""


def _not_for(model: ModelConfig) -> NotApplicable | None:
    """Texts are columns of tables, by the task or as declared."""
    source = model.data.evaluate
    if model.task == "tabular-regression":
        return NotApplicable(
            reason="a regression has no classes, so none can be mistaken for another",
            facts=(f"task of {model.name} is tabular-regression",),
        )
    declared = model.input.columns.values() if model.input is not None else ()
    if model.task == "text-classification" or any(column.type == "text" for column in declared):
        return None
    if source is not None and is_table(source):
        return NotApplicable(
            reason="no column is declared to hold texts",
            facts=(
                f"task of {model.name} is not text-classification",
                "no column of input.columns has the type text",
            ),
        )
    return NotApplicable(reason="the model takes no texts", facts=("data.evaluate is no table",))


@model_check(
    id="evasion.text",
    version="1",
    title="Accuracy under edits of characters and words",
    needs=("loader", "input", "output", "data.evaluate", "threat"),
    estimate=20.0,
    excludes=_not_for,
)
def evasion_text(opened: Opened, context: RunContext) -> CheckResult:
    """Attack evaluation texts by asking. Inconclusive when a health indicator failed; floors are for policy to set."""
    declared = opened.parameters.threat
    columns = tuple(column.name for column in opened.data.columns if column.type == "text" and not column.immutable)
    if opened.data.kind != "table" or not columns:
        fact = "no column of the data holds texts that may change"
        return CheckResult(outcome=NotApplicable(reason="the model takes no texts", facts=(fact,)))
    if declared is None:
        raise InputError(f"model {opened.parameters.model.name!r} lacks a threat", hint="as in threat: {eps: 0.1}")
    settings = declared.text or TextThreatConfig()
    table, digests = _table(opened, settings)
    threat = _threat(opened, settings, with_table=table is not None)
    limits = Limits(words=settings.words, characters=threat.characters or declared.eps)
    target, note = _target(opened, columns, threat, context)
    result = attack_texts(
        target,
        limits,
        _proposer(settings.kinds, table),
        questions=threat.steps,
        restarts=threat.restarts,
        seed=opened.task.seed,
        tick=ticker(context, 0.0, 0.85, "rewriting texts"),
    )
    stored = pack_texts(target, result)
    recovered = _recovered(target, result)
    context.progress(0.9, 1.0, "checking the attack")
    health = examine_texts(
        AttackedTexts(
            target,
            limits,
            table,
            result,
            stored,
            restarts=threat.restarts,
            output=opened.model.output,
            declared_accuracy=opened.parameters.model.declared.clean_accuracy,
        )
    )
    n, clean, robust = len(target.texts), result.right_at(0), result.right_at(threat.eps)
    predicate = EvasionPredicate(
        attack="text",
        threat=threat,
        n=n,
        clean_correct=clean,
        broken=clean - robust,
        clean_accuracy=clean / n,
        clean_interval=exact_interval(clean, n),
        robust_accuracy=robust / n,
        robust_interval=exact_interval(robust, n),
        curve=_curve(limits, result, n),
        restarts=tuple(result.restarts),
        health=health,
        health_verdict=health_verdict(health),
        examples=show_texts(target, result, choose_texts(target, result, limits), opened.model.names),
        forward_passes=target.asked,
        gradient_passes=0,
        samples=context.store(stored.data, "application/vnd.apache.parquet") if clean > robust else None,
        data=opened.data.digests | digests,
    )
    if clean > robust:
        note += f"; {recovered} of {clean - robust} right again once characters are normalised"
    concluded = conclude(
        opened.task,
        opened.model.digests,
        predicate,
        declared,
        note,
        suite=opened.parameters.suite or "standard",
        possible=TEXT_EVASION_POSSIBLE,
    )
    return _measured(concluded, opened, recovered, clean - robust)


def _threat(opened: Opened, settings: TextThreatConfig, *, with_table: bool) -> ThreatModel:
    """The configured threat as it is carried out."""
    declared = opened.parameters.threat
    assert declared is not None  # looked at before
    if declared.eps > 1:
        raise InputError(
            f"threat.eps is {declared.eps:g}; of texts it is the share of characters that may be edited, at most 1",
            hint="give the model a threat of its own, as in threat: {eps: 0.1}",
        )
    steps, restarts = capped(declared, opened.parameters.suite, usual=_QUESTIONS, quick=_QUICK_QUESTIONS)
    return ThreatModel(
        kind="text",
        norm="L2",
        eps=float(settings.words),
        steps=steps,
        restarts=restarts,
        step_size=1.0,  # one word after the other
        characters=declared.eps,
        edits=(*settings.kinds, *(("word",) if with_table else ())),
    )


def _table(opened: Opened, settings: TextThreatConfig) -> tuple[WordTable | None, dict[str, str]]:
    if settings.table is None:
        return None, {}
    read = read_verified(Path(opened.task.root) / settings.table, max_bytes=_MAX_TABLE)
    expected = opened.task.inputs.get("substitutes")
    if expected is not None and expected != read.sha256:
        raise InputError(f"{settings.table} changed while the check was waiting", hint="run again")
    return read_table(read.data, settings.table), {"substitutes": read.sha256}


def _target(
    opened: Opened, columns: tuple[str, ...], threat: ThreatModel, context: RunContext
) -> tuple[TextTarget, str]:
    """A seeded choice of rows; of an endpoint no more than its budget permits, which is said."""
    total = len(opened.data)
    size, note = sample_size(opened.parameters, total), ""
    endpoint = opened.parameters.model.endpoint
    batch = min(_BATCH, rows_at_once(opened, context.limits.memory_bytes))
    if endpoint is not None:
        affordable = int(_REQUESTS * endpoint.budget * endpoint.batch / (threat.steps * threat.restarts))
        if not affordable:
            needed = int(threat.steps * threat.restarts / (_REQUESTS * endpoint.batch)) + 1
            raise InputError(
                f"endpoint.budget of {endpoint.budget} requests does not suffice for {threat.steps} questions x "
                f"{threat.restarts}",
                hint=f"set endpoint.budget to {needed} or more, or fewer steps and restarts",
            )
        if affordable < size:
            size, note = affordable, f" (as many texts as endpoint.budget permits, not {size})"
    rows = opened.data.take(choose_rows(total, size, opened.task.seed))
    frame = as_table(rows.inputs)
    values = zip(*(frame[name].tolist() for name in columns), strict=True)
    texts = tuple(parse(value) for value in values)
    return TextTarget(
        scores=opened.model.scores,
        frame=frame,
        columns=columns,
        texts=texts,
        labels=rows.answers.astype("int64"),
        rows=rows.rows,
        batch=batch,
    ), note


def _proposer(kinds: tuple[TextEdit, ...], table: WordTable | None) -> Proposer:
    def propose(word: str, draw: "object") -> list[Candidate]:
        edits = propose_edits(word, kinds, draw)  # type: ignore[arg-type]
        return edits if table is None else [*table.propose(word), *edits]

    return propose


def _curve(limits: Limits, result: TextResult, n: int) -> tuple[CurvePoint, ...]:
    """Accuracy by changed words; at most a dozen points."""
    stride = max(1, limits.words // 12)
    points = []
    for words in sorted({0, *range(1, limits.words, stride), limits.words}):
        right = result.right_at(words)
        points.append(CurvePoint(eps=float(words), accuracy=right / n, n=n, interval=exact_interval(right, n)))
    return tuple(points)


def _recovered(target: TextTarget, result: TextResult) -> int:
    """Broken texts that are right again when a normaliser goes over them: what the first advice is worth."""
    which = sorted(result.changes)
    right = 0
    for begin in range(0, len(which), target.batch):
        some = which[begin : begin + target.batch]
        frame = target.written([(sample, words_of(result.changes[sample])) for sample in some])
        for name in target.columns:
            kept = [normalised(value) if isinstance(value, str) else value for value in frame[name].tolist()]
            column = frame[name].astype(object)
            column[:] = kept
            frame[name] = column.astype(frame[name].dtype)
        right += int((~target.judge([frame], some)[1]).sum())
    return right


def _measured(concluded: CheckResult, opened: Opened, recovered: int, broken: int) -> CheckResult:
    if not broken or isinstance(concluded.outcome, Inconclusive):
        return concluded
    measured = Measurement(
        metric="text_recovered_by_normalising",
        value=recovered / broken,
        n=broken,
        interval=exact_interval(recovered, broken),
        direction="higher",
        subject=opened.task.subject.urn,
    )
    return concluded.model_copy(update={"measurements": (*concluded.measurements, measured)})
