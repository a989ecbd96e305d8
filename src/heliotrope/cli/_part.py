"""What the commands share that run a part of an assessment: attack, explain, harden."""

from collections.abc import Mapping
from typing import Any

from heliotrope.cli._settings import Settings
from heliotrope.lifecycle.assessing import AssessOptions
from heliotrope.lifecycle.planning import Selection

__all__ = ["part_options"]


def part_options(settings: Settings, chosen: Mapping[str, Any], selection: Selection, **more: Any) -> AssessOptions:
    """Options of an assessment of the selection alone, from what was chosen: preset, seed, sample, fresh and allow_code."""
    return AssessOptions(
        config_file=settings.config,
        settings={
            "ledger": settings.ledger,
            "suite": chosen["preset"],
            "seed": chosen["seed"],
            "sample": chosen["sample"],
        },
        selection=selection,
        fresh=chosen["fresh"],
        allow_code=chosen["allow_code"],
        **more,
    )
