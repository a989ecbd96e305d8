"""Which models a dynamic check runs on, and what is still unknown of them. Nothing of the project is imported here."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from heliotrope.config.schema import (
    DataConfig,
    DataSource,
    HeliotropeConfig,
    ModelConfig,
    ModelFormat,
    Suite,
    ThreatConfig,
)
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import Inconclusive, NotApplicable
from heliotrope.core.records import Record
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.interface import Planned, Project
from heliotrope.subjects._onnx_external import external_files_of
from heliotrope.subjects.formats import FormatDescriptor, format_of

__all__ = ["TABLE_SUFFIXES", "ModelTask", "Need", "is_table", "module_file", "plan_datasets", "plan_models"]

Need = Literal["loader", "input", "output", "data.evaluate", "data.train", "threat", "reference"]
"""`reference`: an earlier version or an earlier window of data, as far as heliotrope.yaml names one; never missing."""

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
_MODEL_INPUTS = frozenset({"weights", "loader"})


_OF_SOME: dict[str, object] = {"threat": None, "smoothing": None, "harden": None, "previous": None, "properties": ()}
"""Fields of a model that few checks look at; for the others they are taken out, so that changing them makes nothing run again."""


class ModelTask(Record):
    """The parameters of a dynamic check of one model. What the check does not use is null, so that it may be reused."""

    model: ModelConfig
    previous: ModelConfig | None = None
    """An earlier version of the model."""
    threat: ThreatConfig | None = None
    sample: int | Literal["all"] | None = None
    suite: Suite | None = None


def plan_models(
    project: Project,
    *,
    needs: tuple[Need, ...],
    formats: tuple[ModelFormat, ...] | None = ("torch",),
    sampled: bool = False,
    keeps: tuple[str, ...] = (),
) -> Iterator[Planned]:
    """One Planned for each model of heliotrope.yaml whose format is named, with what is not filled as `missing`.

    `formats` None: every model, also one whose format nothing tells: then `format` is missing. `sampled`: the check
    takes a sample, so `sample` and suite belong to its parameters; checks that need a threat always do. `keeps`: which of
    smoothing, harden and properties the check sees.
    """
    if project.config is None:
        return
    for index, model in enumerate(project.config.models):
        descriptor = format_of(model)
        if formats is not None and (descriptor is None or descriptor.format not in formats):
            continue
        yield _planned(project, index, model, descriptor, needs, sampled=sampled or "threat" in needs, keeps=keeps)


def _planned(
    project: Project,
    index: int,
    model: ModelConfig,
    descriptor: FormatDescriptor | None,
    needs: tuple[Need, ...],
    *,
    sampled: bool,
    keeps: tuple[str, ...] = (),
) -> Planned:
    config = project.config
    assert config is not None
    threat = (model.threat or config.threat) if "threat" in needs else None
    endpoint = descriptor is not None and descriptor.format == "endpoint"
    missing: tuple[str, ...] = () if descriptor is not None else ("format",)
    missing += tuple(key for need in needs for key in _lacking(model, descriptor, threat, need))
    kept = model.model_copy(update={"data": _data_used(model, needs)})
    previous = _previous(config, model) if "reference" in needs else None
    return Planned(
        subject=Subject(
            urn=subject_urn(project.name, "endpoint" if endpoint else "model", model.name),
            kind="endpoint" if endpoint else "model",
            name=model.name,
        ),
        parameters=ModelTask(
            model=_measured(kept, (*keeps, *(("previous",) if "reference" in needs else ()))),
            previous=None if previous is None else _measured(previous.model_copy(update={"data": DataConfig()}), ()),
            threat=threat,
            sample=config.sample if sampled else None,
            suite=project.suite if sampled else None,
        ),
        inputs=_inputs(project.root, model, needs)
        | _previous_inputs(project.root, previous)
        | (_constraints(project.root, model) | _substitutes(project.root, threat) if "threat" in needs else {}),
        missing=tuple(f"models[{index}].{key}" for key in dict.fromkeys(missing)),
        extra=descriptor.extra if descriptor is not None else None,
        modules=_modules(descriptor, model),
        consent=descriptor.consent if descriptor is not None else "none",
        reusable=not endpoint,
        environment=tuple(
            one.endpoint.token_env for one in (model, previous) if one and one.endpoint and one.endpoint.token_env
        ),
        outcome=_not_measured(model) or _of_other_kind(model, descriptor, previous),
    )


def _of_other_kind(
    model: ModelConfig, descriptor: FormatDescriptor | None, previous: ModelConfig | None
) -> Inconclusive | None:
    """Both versions are opened with the consent, the libraries and the method that suit one format."""
    other = format_of(previous) if previous is not None else None
    if previous is None or other == descriptor:
        return None
    return Inconclusive(
        reason=f"{model.name} and its previous version {previous.name} are of different formats, which cannot be compared",
        needs=("previous",),
    )


_OTHER_ANSWERS = {
    "multi-label-classification": "several classes may be right at once",
    "image-segmentation": "the answer is a class for each pixel",
}


def _not_measured(model: ModelConfig) -> NotApplicable | None:
    """Every dynamic check holds one answer for each sample against one label: of other tasks its number would be wrong."""
    why = _OTHER_ANSWERS.get(model.task or "")
    if why is None:
        return None
    return NotApplicable(
        reason=f"this check measures models with one class or one number for each sample; here {why}",
        facts=(f"task of {model.name} is {model.task}",),
    )


def plan_datasets(project: Project) -> Iterator[Planned]:
    """One Planned for each model with training data, for checks that look at data alone: the model is not opened.

    Parameters and inputs leave out what belongs to the model itself, so that evidence outlives new weights.
    """
    if project.config is None:
        return
    for index, model in enumerate(project.config.models):
        if model.data.train is None:
            continue
        planned = _planned(
            project, index, model, format_of(model), ("input", "data.evaluate", "data.train"), sampled=False
        )
        data = model.data.model_copy(update={"reference": None})
        kept = ModelConfig(name=model.name, task=model.task, input=model.input, labels=model.labels, data=data)
        tables = [source for source in (model.data.train, model.data.evaluate) if source and is_table(source)]
        yield replace(
            planned,
            parameters=ModelTask(model=kept),
            inputs={name: path for name, path in planned.inputs.items() if name not in _MODEL_INPUTS},
            missing=tuple(key for key in planned.missing if not key.endswith("].format")),
            extra="data",
            modules=("numpy", "scipy", "pandas", *(("pyarrow",) if tables else ())),
            consent="none",
            reusable=True,
        )


def module_file(root: Path, module: str) -> Path | None:
    """The file `import module` would take from the project folder, found without importing; None if it is not there."""
    stem = root.joinpath(*module.split("."))
    return next((path for path in (stem / "__init__.py", stem.with_name(stem.name + ".py")) if path.is_file()), None)


def is_table(source: DataSource) -> bool:
    """Whether a data source is a table, by its name: csv, tsv or parquet."""
    return source.path is not None and Path(source.path).suffix.lower() in TABLE_SUFFIXES


def _measured(model: ModelConfig, keeps: tuple[str, ...]) -> ModelConfig:
    """The model without what only some checks use and are told of their own."""
    return model.model_copy(update={key: value for key, value in _OF_SOME.items() if key not in keeps})


def _previous(config: HeliotropeConfig, model: ModelConfig) -> ModelConfig | None:
    return next((one for one in config.models if one.name == model.previous), None)


def _data_used(model: ModelConfig, needs: tuple[Need, ...]) -> DataConfig:
    """A check that does not look at training or reference data must not run again because they changed."""
    unused = {"train": "data.train", "reference": "reference"}
    return model.data.model_copy(update={name: None for name, need in unused.items() if need not in needs})


def _modules(descriptor: FormatDescriptor | None, model: ModelConfig) -> tuple[str, ...]:
    if descriptor is None:
        return ()
    table = model.data.evaluate is not None and is_table(model.data.evaluate)
    return (*descriptor.modules, *(("pandas", "pyarrow") if table else ()))


def _lacking(
    model: ModelConfig, descriptor: FormatDescriptor | None, threat: ThreatConfig | None, need: Need
) -> tuple[str, ...]:
    """Keys of the model that are not filled, of those that a need comes down to for this kind of model."""
    torch = descriptor is None or descriptor.format == "torch"
    table = model.data.evaluate is not None and is_table(model.data.evaluate)
    keys: dict[str, object]
    match need:
        case "loader":
            keys = {"loader": model.loader} if torch else {"path": model.path or model.endpoint}
            keys |= {} if torch else {"task": model.task}
        case "input":
            keys = {} if table else {"input": model.input and model.input.shape}
        case "output":
            keys = {} if descriptor is not None and descriptor.states_output else {"output": model.output}
        case "data.evaluate":
            keys = _data_keys("data.evaluate", model.data.evaluate)
        case "data.train":
            keys = _data_keys("data.train", model.data.train)
        case "threat":
            keys = {"threat": threat}
        case "reference":
            keys = {}
    return tuple(key for key, value in keys.items() if value is None)


def _data_keys(key: str, source: DataSource | None) -> dict[str, object]:
    if source is None or not is_table(source):
        return {key: source}
    return {f"{key}.target": source.target}


def _external_data(root: Path, model: ModelConfig) -> dict[str, Path]:
    """Files that an ONNX model keeps its tensors in; none where that cannot be told: opening it says why."""
    descriptor = format_of(model)
    if model.path is None or descriptor is None or descriptor.format != "onnx":
        return {}
    try:
        locations = external_files_of(root / model.path, root)
    except InputError:
        return {}
    return {f"weights/{location}": path for location, path in locations.items()}


def _constraints(root: Path, model: ModelConfig) -> dict[str, Path]:
    return {"constraints": root / model.data.constraints} if model.data.constraints is not None else {}


def _substitutes(root: Path, threat: ThreatConfig | None) -> dict[str, Path]:
    table = threat.text.table if threat is not None and threat.text is not None else None
    return {"substitutes": root / table} if table is not None else {}


def _inputs(root: Path, model: ModelConfig, needs: tuple[Need, ...]) -> dict[str, Path]:
    inputs = _model_files(root, model)
    data = model.data
    used = {"": data.evaluate, "train/": data.train if "data.train" in needs else None}
    used["reference/"] = data.reference if "reference" in needs else None
    for prefix, source in used.items():
        if source is not None:
            parts = {"data": source.path, "images": source.images, "labels": source.labels}
            inputs |= {f"{prefix}{name}": root / path for name, path in parts.items() if path is not None}
    return inputs


def _model_files(root: Path, model: ModelConfig) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    if model.path is not None:
        inputs["weights"] = root / model.path
        inputs |= _external_data(root, model)
    if model.loader is not None:
        module = model.loader.partition(":")[0]
        file = module_file(root, module)
        if file is not None:
            inputs["loader"] = file
    return inputs


def _previous_inputs(root: Path, previous: ModelConfig | None) -> dict[str, Path]:
    files = _model_files(root, previous) if previous is not None else {}
    return {f"previous/{name}": path for name, path in files.items()}
