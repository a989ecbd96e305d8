"""What the attacks may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = [
    "ATTACK_UNSOUND",
    "COUNTEREXAMPLE_REGRESSED",
    "EVASION_POSSIBLE",
    "PROPERTY_VIOLATED",
    "RULES",
    "TEXT_EVASION_POSSIBLE",
]

ATTACK_UNSOUND = Rule(
    id="attack-unsound",
    title="The attack did not work properly, so its number must not be relied on",
    severity="medium",
    help="A health indicator failed: gradients vanish, the model answers at random, or the data do not fit. Accuracy "
    "under such an attack looks high for the wrong reason; a different attack may well break the model.",
    fix=Fix(
        text="Look at the indicator that failed. Vanishing gradients: let the loader return unscaled logits and "
        "differentiable layers. Randomness: switch dropout and noise off in eval mode. Data: correct range, "
        "normalisation or labels."
    ),
    taxonomy=("AML.T0015", "ML01:2023"),
)

COUNTEREXAMPLE_REGRESSED = Rule(
    id="counterexample-regressed",
    title="An input that an earlier version withstood misleads the model again",
    severity="medium",
    help="Each input that an attack finds is kept. A version that withstands it sets the bar for those that come after: one that falls for "
    "it again has lost robustness that was there.",
    fix=Fix(
        text="Compare training and data of the two versions. Train on the kept inputs with their right labels, or harden the model, "
        "and assess again; ship the earlier version until then."
    ),
    taxonomy=("AML.T0015", "AML.T0043", "ML01:2023"),
)

EVASION_POSSIBLE = Rule(
    id="evasion-possible",
    title="Small changes to inputs mislead the model",
    severity="info",
    help="Inputs were found that look alike and are classified differently. How many are too many is for policy to say "
    "(floors on robust_accuracy).",
    fix=Fix(
        text="Train on adversarial examples (PGD adversarial training, TRADES) and assess again; where that is not "
        "possible, do not let a decision rest on this model alone."
    ),
    taxonomy=("AML.T0015", "AML.T0043", "ML01:2023", "CWE-1039"),
)

PROPERTY_VIOLATED = Rule(
    id="property-violated",
    title="The model breaks a property that it must keep",
    severity="high",
    help="An input within the bounds of the property was found whose outputs are unsafe, and the model itself was asked about "
    "it. The input is kept with the evidence.",
    fix=Fix(
        text="Look at the counterexample. Train on such inputs, or guard the model's output; then prove the property again. "
        "Where the property asks too much, correct it."
    ),
    taxonomy=("AML.T0015", "CWE-1039"),
)

TEXT_EVASION_POSSIBLE = Rule(
    id="text-evasion-possible",
    title="A few rewritten words mislead the model",
    severity="info",
    help="Texts were found that read alike and are classified differently. How many are too many is for policy to say "
    "(floors on robust_accuracy). The examples are listed so that people judge whether the meaning is the same.",
    fix=Fix(
        text="Normalise in front of the model: NFKC, strip invisible characters, fold look-alike letters, lower case. Correct "
        "spelling, or train on texts with such edits; add substitutes to the training data. Flag texts that mix alphabets "
        "inside a word. Then assess again."
    ),
    taxonomy=("AML.T0015", "AML.T0043", "ML01:2023", "CWE-1007"),
)

RULES: tuple[Rule, ...] = (
    ATTACK_UNSOUND,
    COUNTEREXAMPLE_REGRESSED,
    EVASION_POSSIBLE,
    PROPERTY_VIOLATED,
    TEXT_EVASION_POSSIBLE,
)
