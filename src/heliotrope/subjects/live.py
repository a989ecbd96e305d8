"""Models that a Python program has at hand, as the checks see them. Nothing is copied to disk, nothing is unpickled.

A model is a torch module, an estimator (`predict_proba`, `decision_function` or `predict`, as scikit-learn and the tree
libraries have them) or a function from inputs to scores. It is identified by its weights where it has a state dict, else by
its answers: the digest of what it says about the first rows of the data it is judged on.
"""

import copy
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heliotrope.config.schema import DataConfig, DataSource, InputConfig, ModelConfig, OutputKind, Suite, ThreatConfig
from heliotrope.core.errors import InputError
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.core.text import printable, shorten
from heliotrope.engine.interface import Task
from heliotrope.subjects.interface import Opened, Predictor
from heliotrope.subjects.live_data import LiveData, live_data
from heliotrope.subjects.planning import ModelTask

if TYPE_CHECKING:
    import torch

    from heliotrope.subjects.interface import Inputs, Scores

__all__ = ["LiveModel", "LiveSettings", "open_live", "with_earlier"]

_IDENTITY_ROWS = 256
"""Rows whose answers identify a model that has no state dict."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What is said of a live model beside the model itself."""

    name: str = "model"
    regression: bool = False
    output: OutputKind | None = None
    """None: what the estimator's method says; logits for modules and functions."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the outputs; default: the estimator's classes_, else those of the answers."""
    input_range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest valid value of arrays with more than one dimension for each sample."""
    threat: ThreatConfig | None = None
    sample: int | Literal["all"] | None = None
    suite: Suite = "standard"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A Predictor over a function from inputs to scores."""

    ask: "Callable[[Inputs], Any]"
    names: tuple[str, ...]
    output: OutputKind
    format: str = "python"
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return max(1, len(self.names))

    def scores(self, inputs: "Inputs") -> "Scores":
        import numpy as np

        answer = self.ask(inputs.copy())
        try:
            scores = np.asarray(answer, dtype=np.float64)
        except (TypeError, ValueError):
            kind = printable(type(answer).__name__)
            raise InputError(f"the model answers with {kind}, expected numbers", hint="return an array") from None
        scores = scores[:, None] if scores.ndim == 1 else scores
        if scores.shape != (len(inputs), self.classes):
            raise InputError(
                f"the model answers with the shape {list(scores.shape)}, expected {len(inputs)} x {self.classes}",
                hint="one column for each class; name all of them by labels",
            )
        if not np.isfinite(scores).all():
            raise InputError("the model answers with NaN or infinite scores", hint="check its weights and its inputs")
        return scores

    def close(self) -> None:
        """The program keeps its model."""


def open_live(model: object, inputs: object, answers: object, settings: LiveSettings) -> Opened:
    """A model and labelled data of a program, ready to be asked.

    `inputs`: array n x ..., or a DataFrame. `answers`: n class indices or names; numbers for regression. Raises InputError
    for what does not fit together, MissingExtraError without the libraries it takes.
    """
    data = live_data(
        inputs,
        answers,
        names=settings.labels or _known_names(model),
        regression=settings.regression,
        input_range=settings.input_range,
    )
    config = _config(settings, data)
    predictor = _predictor(model, settings, config, data)
    task = Task(
        check="live",
        subject=Subject(urn=subject_urn("python", "model", settings.name), kind="model", name=settings.name),
        root=str(Path.cwd()),
        parameters={},
        inputs={},
        seed=settings.seed,
    )
    parameters = ModelTask(model=config, threat=settings.threat, sample=settings.sample, suite=settings.suite)
    return Opened(task, parameters, predictor, data.dataset)


def with_earlier(
    opened: Opened,
    settings: LiveSettings,
    *,
    previous: Opened | None = None,
    reference: tuple[object, object] | None = None,
) -> Opened:
    """The same beside an earlier version, opened on the same data, or inputs and answers of an earlier time, or both.

    Raises InputError for what does not fit the model that is open.
    """
    parameters, config = opened.parameters, opened.parameters.model
    if previous is not None:
        config = config.model_copy(update={"previous": previous.parameters.model.name})
        parameters = parameters.model_copy(update={"previous": previous.parameters.model})
        opened = replace(opened, previous=previous.model)
    if reference is not None:
        window = live_data(
            *reference,
            names=opened.model.names or None,
            regression=settings.regression,
            input_range=settings.input_range,
        )
        source = DataSource(path="(data of this program)")
        config = config.model_copy(update={"data": config.data.model_copy(update={"reference": source})})
        opened = replace(opened, reference=window.dataset)
    return replace(opened, parameters=parameters.model_copy(update={"model": config}))


def _config(settings: LiveSettings, data: LiveData) -> ModelConfig:
    """The model as heliotrope.yaml would say it, for checks that read it."""
    table = data.dataset.kind == "table"
    task = (
        "tabular-regression" if settings.regression else "tabular-classification" if table else "image-classification"
    )
    return ModelConfig(
        name=settings.name,
        task=task,
        input=InputConfig(shape=data.shape, range=settings.input_range),
        output=settings.output,
        labels=data.names or None,
        data=DataConfig(),
    )


def _known_names(model: object) -> tuple[str, ...] | None:
    known: Any = getattr(model, "classes_", None)
    listed = known.tolist() if hasattr(known, "tolist") else known
    return tuple(str(name) for name in listed) if isinstance(listed, list | tuple) else None


def _predictor(model: object, settings: LiveSettings, config: ModelConfig, data: LiveData) -> Predictor:
    torch_module = _torch_module(model)
    if torch_module is not None:
        return _of_module(torch_module, config, data, settings.name)
    ask, output = _question(model, settings)

    def of_original(inputs: "Inputs") -> object:
        return ask(data.as_given(inputs))

    predictor = LiveModel(_guarded(of_original, settings.name), data.names, output)
    if output == "labels":
        predictor = replace(predictor, ask=_one_hot(predictor.ask, data.names))
    elif output != "values" and len(data.names) == 2:
        predictor = replace(predictor, ask=_two_columns(predictor.ask, output))
    answers = predictor.scores(data.first(_IDENTITY_ROWS))
    digest = hashlib.sha256(answers.tobytes()).hexdigest()
    return replace(predictor, digests={f"{settings.name}, by its answers on {len(answers)} rows": digest})


def _torch_module(model: object) -> "torch.nn.Module | None":
    """The model as a torch module, if it is one; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return model if torch is not None and isinstance(model, torch.nn.Module) else None


def _of_module(module: "torch.nn.Module", config: ModelConfig, data: LiveData, name: str) -> Predictor:
    import numpy as np

    from heliotrope.subjects.torch_model import wrap_module

    own = copy.deepcopy(module)  # the checks put it into eval mode and take its gradients off
    digest = hashlib.sha256()
    for key, tensor in sorted(own.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    probe = np.array(data.first(4), dtype=np.float32)
    wrapped = wrap_module(own, config, root=Path.cwd(), probe=probe)
    return replace(wrapped, digests={f"{name}, by its state dict": digest.hexdigest()})


def _question(model: object, settings: LiveSettings) -> tuple[Callable[..., Any], OutputKind]:
    """How to ask, and what the answer is."""
    methods: tuple[tuple[str, OutputKind], ...] = (
        ("predict_proba", "probabilities"),
        ("decision_function", "logits"),
        ("predict", "labels"),
    )
    if settings.regression:
        methods = (("predict", "values"),)
    for method, output in methods:
        ask = getattr(model, method, None)
        if callable(ask):
            return ask, output
    if callable(model):
        return model, "values" if settings.regression else settings.output or "logits"
    kind = printable(type(model).__name__)
    raise InputError(
        f"{kind} is no model: it has no predict_proba, decision_function or predict and cannot be called",
        hint="give a torch module, an estimator, or a function from inputs to scores",
    )


def _guarded(ask: Callable[..., Any], name: str) -> Callable[..., Any]:
    def asked(inputs: "Inputs") -> object:
        try:
            return ask(inputs)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            reason = shorten(printable(f"{type(error).__name__}: {error}"), 400)
            raise InputError(f"{name} failed on {len(inputs)} rows with {reason}") from error

    return asked


def _one_hot(ask: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    import numpy as np

    def scores(inputs: "Inputs") -> object:
        predicted = [str(label) for label in np.asarray(ask(inputs)).reshape(-1).tolist()]
        unknown = sorted(set(predicted) - set(names))
        if unknown:
            raise InputError(
                f"the model answers with {printable(unknown[0])!r}, which is none of its classes",
                hint="name every class by labels",
            )
        return np.eye(len(names))[[names.index(label) for label in predicted]]

    return scores


def _two_columns(ask: Callable[..., Any], output: OutputKind) -> Callable[..., Any]:
    """A binary score alone becomes two columns: of a probability 1 - p and p, of a margin -s and s."""
    import numpy as np

    def scores(inputs: "Inputs") -> object:
        answer = np.asarray(ask(inputs))
        single = answer.ndim == 1 or (answer.ndim == 2 and answer.shape[1] == 1)
        if not single:
            return answer
        score = answer.reshape(-1).astype(np.float64)
        return np.stack([1 - score, score] if output == "probabilities" else [-score, score], axis=1)

    return scores
