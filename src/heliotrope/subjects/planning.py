"""Which models a dynamic check runs on, and what is still unknown of them. Nothing of the project is imported here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from heliotrope.config.schema import ModelConfig, Suite, ThreatConfig
from heliotrope.core.records import Record
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.interface import Planned, Project

__all__ = ["ModelTask", "Need", "module_file", "plan_models"]

Need = Literal["loader", "input", "output", "data.evaluate", "threat"]

_TORCH_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin"})


class ModelTask(Record):
    """The parameters of a dynamic check of one model. What the check does not use is null, so that it may be reused."""

    model: ModelConfig
    threat: ThreatConfig | None = None
    sample: int | Literal["all"] | None = None
    suite: Suite | None = None


def plan_models(project: Project, *, needs: tuple[Need, ...]) -> Iterator[Planned]:
    """One Planned for each torch model of heliotrope.yaml, with the keys of `needs` that are not filled as `missing`."""
    if project.config is None:
        return
    for index, model in enumerate(project.config.models):
        if not _is_torch(model):
            continue
        threat = (model.threat or project.config.threat) if "threat" in needs else None
        parameters = ModelTask(
            model=model.model_copy(update={"threat": None}),
            threat=threat,
            sample=project.config.sample if "threat" in needs else None,
            suite=project.suite if "threat" in needs else None,
        )
        yield Planned(
            subject=Subject(urn=subject_urn(project.name, "model", model.name), kind="model", name=model.name),
            parameters=parameters,
            inputs=_inputs(project.root, model),
            missing=tuple(f"models[{index}].{need}" for need in needs if _lacks(model, threat, need)),
        )


def module_file(root: Path, module: str) -> Path | None:
    """The file `import module` would take from the project folder, found without importing; None if it is not there."""
    stem = root.joinpath(*module.split("."))
    return next((path for path in (stem / "__init__.py", stem.with_name(stem.name + ".py")) if path.is_file()), None)


def _is_torch(model: ModelConfig) -> bool:
    suffix = Path(model.path).suffix.lower() if model.path else ""
    return model.format == "torch" or model.loader is not None or suffix in _TORCH_SUFFIXES


def _lacks(model: ModelConfig, threat: ThreatConfig | None, need: Need) -> bool:
    filled = {
        "loader": model.loader,
        "input": model.input,
        "output": model.output,
        "data.evaluate": model.data.evaluate,
        "threat": threat,
    }
    return filled[need] is None


def _inputs(root: Path, model: ModelConfig) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    if model.path is not None:
        inputs["weights"] = root / model.path
    if model.loader is not None:
        module = model.loader.partition(":")[0]
        file = module_file(root, module)
        if file is not None:
            inputs["loader"] = file
    source = model.data.evaluate
    if source is not None:
        parts = {"data": source.path, "images": source.images, "labels": source.labels}
        inputs |= {name: root / path for name, path in parts.items() if path is not None}
    return inputs
