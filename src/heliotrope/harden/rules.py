"""What hardening may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = ["GAIN_NOT_CREDITED", "RULES"]

GAIN_NOT_CREDITED = Rule(
    id="hardening-not-credited",
    title="A gain in robustness that the attack cannot confirm",
    severity="medium",
    help="The attack on the hardened model, or on the original, shows signs of having failed, so that its number says nothing. "
    "Masked gradients, randomness and rounded answers make attacks fail and leave the weakness where it was.",
    fix=Fix(
        text="Do not ship the model for its robustness. Take out what hides gradients or draws at random, harden by adversarial "
        "training, and let both be judged again."
    ),
    taxonomy=("AML.T0015", "CWE-1039"),
)

RULES = (GAIN_NOT_CREDITED,)
"""All rules of this room."""
