"""What the quality checks may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = ["ACCURACY_NOT_AS_DECLARED", "CLASS_ACCURACY_COLLAPSE", "RULES"]

ACCURACY_NOT_AS_DECLARED = Rule(
    id="accuracy-not-as-declared",
    title="Clean accuracy differs from what was declared",
    severity="medium",
    help="Either these are not the weights, data or preprocessing that were declared, or the claim is out of date. "
    "Every other number about this model rests on the same ground.",
    fix=Fix(
        text="Check weights, data, input.range and normalisation against the training code; then correct the model or "
        "declared.clean_accuracy."
    ),
    taxonomy=("AML.T0018",),
)

CLASS_ACCURACY_COLLAPSE = Rule(
    id="class-accuracy-collapse",
    title="One class is recognised far worse than the others",
    severity="low",
    help="A class whose accuracy is below half of the mean over classes may be mislabelled, missing from the training "
    "data, or poisoned; the overall accuracy hides it.",
    fix=Fix(text="Look at the labels and the training samples of this class."),
    taxonomy=("AML.T0020",),
)

RULES: tuple[Rule, ...] = (ACCURACY_NOT_AS_DECLARED, CLASS_ACCURACY_COLLAPSE)
