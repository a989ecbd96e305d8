"""Hardening alone: what is asked for on top of heliotrope.yaml, what came of it, and where the hardened model goes."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliotrope.config.hardening import HardenConfig
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.errors import SystemRefusedError, UsageError
from heliotrope.core.predicates.hardening import HARDENING_PREDICATE, HardeningPredicate
from heliotrope.core.text import printable

__all__ = ["HARDENING", "Hardened", "harden_exit_code", "hardened_models", "with_hardening", "write_model"]

HARDENING = ("harden.*",)
"""What hardens, as patterns of check ids."""

_SUFFIXES = {
    "application/x-safetensors": ".safetensors",
    "application/x-skops": ".skops",
    "application/x-xgboost-ubj": ".ubj",
    "text/x-lightgbm": ".txt",
    "application/x-catboost": ".cbm",
}


@dataclass(frozen=True, slots=True)
class Hardened:
    """One model that was hardened."""

    name: str
    run: RunEntry
    found: HardeningPredicate


def with_hardening(config: HeliotropeConfig, given: Mapping[str, Any], models: tuple[str, ...]) -> HeliotropeConfig:
    """The configuration with what the command line says of hardening, for the models that are named; none: all."""
    said = {key: value for key, value in given.items() if value is not None}
    if not said:
        return config
    changed = []
    for model in config.models:
        if models and model.name not in models:
            changed.append(model)
            continue
        known = model.harden.model_dump() if model.harden is not None else {}
        changed.append(model.model_copy(update={"harden": HardenConfig.model_validate(known | said)}))
    return config.model_copy(update={"models": tuple(changed)})


def hardened_models(assessment: Assessment) -> tuple[Hardened, ...]:
    """Every model that was hardened in this run, or in the one whose evidence was taken again."""
    names = {subject.urn: subject.name for subject in assessment.subjects}
    evidence = {entry.id: entry for entry in assessment.evidence if entry.predicate_type == HARDENING_PREDICATE}
    return tuple(
        Hardened(names.get(run.subject, run.subject), run, HardeningPredicate.model_validate(evidence[one].predicate))
        for run in assessment.runs
        for one in run.evidence
        if one in evidence
    )


def write_model(
    hardened: Hardened, target: Path | None, folder: Path, read_blob: Callable[[str], bytes | None]
) -> Path:
    """Write the hardened model to `target`, or below `folder` by its name and digest. Whole or not at all.

    Raises SystemRefusedError where it cannot be written, UsageError where another file is in its place.
    """
    blob = hardened.found.model
    data = read_blob(blob.sha256) if blob is not None else None
    if blob is None or data is None:
        raise SystemRefusedError(
            f"the hardened {hardened.name} is not among the blobs any more", hint="harden it again with --fresh"
        )
    path = target or folder / f"{hardened.name}-{blob.sha256[:12]}{_SUFFIXES.get(blob.media_type, '.bin')}"
    try:
        if path.exists() and path.read_bytes() != data:
            raise UsageError(f"{printable(str(path))} is there already", hint="name another place, or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise SystemRefusedError(
            f"{printable(str(path))} cannot be written: {error.strerror}", hint="make room, or name another place"
        ) from None
    return path


def harden_exit_code(assessment: Assessment) -> int:
    """0: every model that was hardened is better. 1: one is not. 3: one could not be hardened or judged, or none was asked for."""
    runs = [run for run in assessment.runs if run.check.startswith("harden.") and run.code != "deselected"]
    asked = [run for run in runs if run.outcome != "not_applicable"]
    if any(run.outcome == "failed" for run in asked):
        return 1
    return 0 if asked and all(run.outcome == "passed" for run in asked) else 3
