"""The gate: typed policy packs, and decisions that name every rule with what was wanted and what was seen."""

from heliotrope.gate._service import decide, exit_code_of
from heliotrope.gate.interface import Facts, Observed
from heliotrope.gate.policy import (
    EffectivePolicy,
    Policy,
    default_policy,
    effective_policy,
    load_policy,
    model_policy,
)

__all__ = [
    "EffectivePolicy",
    "Facts",
    "Observed",
    "Policy",
    "decide",
    "default_policy",
    "effective_policy",
    "exit_code_of",
    "load_policy",
    "model_policy",
]
