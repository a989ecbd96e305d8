"""Which models a dynamic check runs on, and what is still unknown of them. Nothing of the project is imported here."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from heliotrope.config.schema import ModelConfig, Suite, ThreatConfig
from heliotrope.core.records import Record
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.interface import Planned, Project

__all__ = ["MAX_CODE_FILES", "ModelTask", "Need", "local_code", "module_file", "plan_models"]

Need = Literal["loader", "input", "output", "data.evaluate", "threat"]

MAX_CODE_FILES = 500
"""Modules followed from a loader; a model's own code is far smaller."""

_MAX_CODE_BYTES = 2**20
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


def local_code(root: Path, module: str) -> dict[str, Path]:
    """The project's files that importing `module` reads, by relative path, as far as import statements show.

    Their digests decide whether earlier evidence still holds. Imports made in other ways are not seen.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    seen = set()
    while waiting and len(found) < MAX_CODE_FILES:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        path = module_file(root, name)
        if path is not None:
            found[path.relative_to(root).as_posix()] = path
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imported(path, package)
    return dict(sorted(found.items()))


def _imported(path: Path, package: str) -> list[str]:
    """Dotted names of the modules that a file's import statements may mean."""
    try:
        if path.stat().st_size > _MAX_CODE_BYTES:
            return []
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # importing it will say what is wrong
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)]
    return [name for name in names if name]


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
        inputs |= {f"code:{name}": path for name, path in local_code(root, module).items() if path != file}
    source = model.data.evaluate
    if source is not None:
        parts = {"data": source.path, "images": source.images, "labels": source.labels}
        inputs |= {name: root / path for name, path in parts.items() if path is not None}
    return inputs
