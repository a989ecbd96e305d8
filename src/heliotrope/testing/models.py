"""What every adapter of a kind of model keeps, clause by clause, for those who write one.

A clause is a function of a `ModelCase`: it opens the model as a check would and raises AssertionError when a promise is
broken. Parametrise a test over `MODEL_CLAUSES`, or call `assert_model_contract` for all of them.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.subjects.interface import Column, Predictor
from heliotrope.subjects.opening import ModelAdapter

if TYPE_CHECKING:
    from heliotrope.subjects.interface import Inputs, Scores

__all__ = ["MODEL_CLAUSES", "ModelCase", "ModelClause", "assert_model_contract"]

_ROWS = 8
_TOLERANCE = 1e-5
"""Between batches of different sizes: libraries add in another order."""

_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n"


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A small trained model, and what is known of it."""

    name: str
    adapter: ModelAdapter
    model: ModelConfig
    root: Path
    """The project folder; `model.path` is relative to it."""
    inputs: "Inputs"
    """At least 8 valid rows with different answers."""
    names: tuple[str, ...]
    """Class names that the opened model must have; empty for regression."""
    columns: tuple[Column, ...] = ()
    answers: "Scores | None" = None
    """What the library itself says of the inputs, as scores."""
    takes_missing: bool = False
    """Whether NaN is a valid number for the model."""
    tolerance: float = _TOLERANCE
    """Largest difference between the same rows asked in batches of different sizes."""

    @contextmanager
    def opened(self) -> Iterator[Predictor]:
        """The model, opened on the first rows; closed twice, as may happen."""
        model = self.open()
        try:
            yield model
        finally:
            model.close()
            model.close()

    def open(self) -> Predictor:
        return self.adapter(
            self.model, root=self.root, probe=self.inputs[:4], columns=self.columns, seed=0, expected={}
        )


ModelClause = Callable[[ModelCase], None]


def assert_model_contract(case: ModelCase) -> None:
    """Hold an adapter to every clause."""
    for clause in MODEL_CLAUSES:
        clause(case)


def scores_have_the_agreed_form(case: ModelCase) -> None:
    """N x classes, float64, finite; probabilities sum to one, labels are one-hot, a regression has one column."""
    import numpy as np

    with case.opened() as model:
        scores = model.scores(case.inputs)
        _require(case, scores.dtype == np.float64, f"scores are {scores.dtype}")
        _require(case, scores.shape == (len(case.inputs), model.classes), f"scores have shape {scores.shape}")
        _require(case, bool(np.isfinite(scores).all()), "scores are not finite")
        _require(case, bool((np.ptp(scores, axis=0) > 0).any()), "every row has the same scores")
        if model.output in ("probabilities", "labels"):
            _require(case, bool(np.allclose(scores.sum(axis=1), 1.0, atol=1e-3)), "rows do not sum to one")
        if model.output == "labels":
            _require(case, set(np.unique(scores)) <= {0.0, 1.0}, "labels are not one-hot")
        if model.output == "values":
            _require(case, model.classes == 1, "a regression has one output")
        else:
            _require(case, model.classes >= 2, "a classifier has two classes at least")


def scores_are_those_of_the_library(case: ModelCase) -> None:
    """Nothing is lost on the way."""
    if case.answers is None:
        return
    with case.opened() as model:
        _require_close(case, model.scores(case.inputs), case.answers, "the library itself says otherwise")


def names_belong_to_classes(case: ModelCase) -> None:
    with case.opened() as model:
        _require(case, model.names == case.names, f"names are {model.names}")
        _require(case, model.classes == max(1, len(case.names)), f"{model.classes} classes")
        _require(case, bool(model.format), "the format has no name")


def batches_of_any_size_agree(case: ModelCase) -> None:
    """One row, odd sizes and no row at all: the whole is what its parts say."""
    import numpy as np

    with case.opened() as model:
        whole = model.scores(case.inputs)
        for size in (1, 3, 5):
            parts = [model.scores(case.inputs[start : start + size]) for start in range(0, len(whole), size)]
            _require_close(case, np.concatenate(parts), whole, f"batches of {size} say otherwise")
        empty = model.scores(case.inputs[:0])
        _require(case, empty.shape == (0, model.classes), f"no rows give {empty.shape}")


def rows_keep_their_order(case: ModelCase) -> None:
    with case.opened() as model:
        inputs: Any = case.inputs
        turned = inputs.iloc[::-1] if _is_frame(inputs) else inputs[::-1].copy()
        _require_close(case, model.scores(turned)[::-1], model.scores(case.inputs), "another order, other scores")


def inputs_stay_untouched(case: ModelCase) -> None:
    given: Any = case.inputs.copy()
    with case.opened() as model:
        model.scores(given)
    same = given.equals(case.inputs) if _is_frame(given) else bool((given == case.inputs).all())
    _require(case, same, "the batch was changed")


def answers_repeat(case: ModelCase) -> None:
    """Asked again, and opened again."""
    with case.opened() as model:
        first, second = model.scores(case.inputs), model.scores(case.inputs)
    with case.opened() as model:
        third = model.scores(case.inputs)
    _require(case, bool((first == second).all()), "asked twice, other scores")
    _require(case, bool((first == third).all()), "opened twice, other scores")


def threads_may_ask_together(case: ModelCase) -> None:
    with case.opened() as model, ThreadPoolExecutor(2) as pool:
        alone = model.scores(case.inputs)
        for scores in pool.map(lambda _: model.scores(case.inputs), range(8)):
            _require_close(case, scores, alone, "two threads, other scores")


def digests_are_of_the_files(case: ModelCase) -> None:
    with case.opened() as model:
        _require(case, bool(model.digests), "nothing identifies the model")
        for path, digest in model.digests.items():
            file = case.root / path
            if case.model.endpoint is None:
                _require(case, digest == hashlib.sha256(file.read_bytes()).hexdigest(), f"the digest of {path}")
            _require(case, len(digest) == 64, f"{path} has no SHA-256")
        if case.model.path is not None:
            _require(case, case.model.path in model.digests, "the file of the model has no digest")


def other_inputs_are_refused(case: ModelCase) -> None:
    """Another width, another order of columns, text for numbers, no array at all."""
    with case.opened() as model:
        for wrong in _wrong_inputs(case.inputs):
            _require_refused(case, partial(model.scores, wrong), f"{type(wrong).__name__} is taken")


def missing_numbers_are_answered_or_refused(case: ModelCase) -> None:
    """NaN never becomes a score that is none."""
    import numpy as np

    lacking: Any = case.inputs.copy()
    if _is_frame(lacking):
        numeric = [name for name, kind in lacking.dtypes.items() if kind.kind == "f"]
        if not numeric:
            return
        lacking[numeric[0]] = np.nan
    else:
        lacking[:] = np.nan
    with case.opened() as model:
        if case.takes_missing:
            _require(case, bool(np.isfinite(model.scores(lacking)).all()), "NaN gives no finite scores")
        else:
            _require_refused(case, lambda: model.scores(lacking), "NaN is taken")


def damaged_files_are_refused(case: ModelCase) -> None:
    """Absent, empty, cut short at many places, of another format, or a pointer to the file: an error that helps."""
    if case.model.path is None:
        return
    data = (case.root / case.model.path).read_bytes()
    cuts = [data[: len(data) * part // 16] for part in range(16)]
    with _copy(case) as copy:
        file = copy.root / str(copy.model.path)
        for damaged in (*cuts, _POINTER, b"\0" * 64, b"{}", b"\x89PNG\r\n\x1a\n" + b"\0" * 64):
            file.write_bytes(damaged)
            _require_refused(case, copy.open, f"a file of {len(damaged)} bytes that begins {damaged[:8]!r} is taken")
        file.unlink()
        _require_refused(case, copy.open, "a file that is not there is taken")


def other_bytes_than_planned_are_refused(case: ModelCase) -> None:
    if case.model.path is None:
        return

    def planned() -> Predictor:
        return case.adapter(
            case.model,
            root=case.root,
            probe=case.inputs[:4],
            columns=case.columns,
            seed=0,
            expected={"weights": "0" * 64},
        )

    _require_refused(case, planned, "bytes of another digest are taken")


def a_wrong_number_of_labels_is_refused(case: ModelCase) -> None:
    if not case.names:
        return
    model = case.model.model_copy(update={"labels": tuple(f"name{index}" for index in range(len(case.names) + 1))})
    _require_refused(case, replace(case, model=model).open, "labels for one class too many are taken")


def other_data_are_refused_at_once(case: ModelCase) -> None:
    """A model is not opened on data of another width."""
    wider = next(iter(_wrong_inputs(case.inputs)))
    _require_refused(case, replace(case, inputs=wider).open, "data of another width are taken")


MODEL_CLAUSES: tuple[ModelClause, ...] = (
    scores_have_the_agreed_form,
    scores_are_those_of_the_library,
    names_belong_to_classes,
    batches_of_any_size_agree,
    rows_keep_their_order,
    inputs_stay_untouched,
    answers_repeat,
    threads_may_ask_together,
    digests_are_of_the_files,
    other_inputs_are_refused,
    missing_numbers_are_answered_or_refused,
    damaged_files_are_refused,
    other_bytes_than_planned_are_refused,
    a_wrong_number_of_labels_is_refused,
    other_data_are_refused_at_once,
)


def _wrong_inputs(inputs: Any) -> Iterator[Any]:
    """The first is one value wider."""
    import numpy as np

    if _is_frame(inputs):
        yield inputs.assign(one_more=0.5)
        if len(inputs.columns) > 1:
            yield inputs.iloc[:, ::-1]
            yield inputs.iloc[:, 1:]
        yield inputs.to_numpy(dtype=object)
    else:
        yield np.concatenate([inputs, inputs[..., :1]], axis=-1)
        yield inputs[..., 1:]
        yield inputs.astype(str)
    yield [[0.0]]


@contextmanager
def _copy(case: ModelCase) -> Iterator[ModelCase]:
    with tempfile.TemporaryDirectory(prefix="heliotrope-model-") as folder:
        root = Path(folder) / "project"
        shutil.copytree(case.root, root)
        yield replace(case, root=root)


def _is_frame(inputs: Any) -> bool:
    return hasattr(inputs, "iloc")


def _require(case: ModelCase, holds: bool, what: str) -> None:  # noqa: FBT001 - an assertion with a name
    if not holds:
        raise AssertionError(f"{case.name}: {what}")


def _require_close(case: ModelCase, found: Any, expected: Any, what: str) -> None:
    import numpy as np

    close = found.shape == expected.shape and bool(np.allclose(found, expected, rtol=0, atol=case.tolerance))
    _require(case, close, what)


def _require_refused(case: ModelCase, call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except InputError as error:
        _require(case, bool(error.message and error.hint), f"refused without a hint: {error.message}")
        return
    raise AssertionError(f"{case.name}: {what}")
