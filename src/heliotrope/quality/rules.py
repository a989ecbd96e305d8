"""What the quality checks may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = [
    "ACCURACY_NOT_AS_DECLARED",
    "BATCH_DEPENDENT_ANSWERS",
    "CLASS_ACCURACY_COLLAPSE",
    "CONSTANT_CHANNEL",
    "CORRUPTION_COLLAPSE",
    "FAULT_RAISES",
    "INPUT_RANGE_UNUSED",
    "MISSING_VALUE_COLLAPSE",
    "MISSING_VALUE_RAISES",
    "NONDETERMINISTIC_ANSWERS",
    "NON_FINITE_OUTPUT",
    "NORMALISATION_SUSPECT",
    "ODD_INPUT_ANSWERED",
    "OUTPUT_NOT_AS_DECLARED",
    "OUT_OF_RANGE_INPUTS",
    "RULES",
]

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

CORRUPTION_COLLAPSE = Rule(
    id="corruption-collapse",
    title="A mild fault of the inputs costs much of the quality",
    severity="low",
    help="Noise, blur, rounding or a typing error of a size that happens every day takes away more than 20 points of "
    "accuracy. Nobody needs to attack such a model.",
    fix=Fix(text="Train with such faults (augmentation), or check inputs for them before they reach the model."),
    taxonomy=("AML.T0015",),
)

FAULT_RAISES = Rule(
    id="fault-raises",
    title="The model raises on a plain fault of the inputs",
    severity="low",
    help="Whoever can send a category nobody has seen, or a number in the wrong unit, can make the service fail. Behind "
    "an interface that is a denial of service, unless somebody catches it.",
    fix=Fix(
        text="Give the model an answer for it (as OneHotEncoder(handle_unknown='ignore') does), or refuse such inputs "
        "before they reach it."
    ),
    taxonomy=("AML.T0029", "CWE-20"),
)

MISSING_VALUE_RAISES = Rule(
    id="missing-value-raises",
    title="The model raises when a value is missing",
    severity="medium",
    help="Of a feature that valid inputs may lack, this is a failure waiting for its first incomplete row; of others it "
    "is a refusal, and only low.",
    fix=Fix(text="Impute missing values inside the model, or refuse incomplete inputs before they reach it."),
    taxonomy=("CWE-20",),
)

MISSING_VALUE_COLLAPSE = Rule(
    id="missing-value-collapse",
    title="Without one feature the model is hardly better than guessing",
    severity="low",
    help="A model that rests on a single feature fails with whoever delivers it, is easy to mislead by it, and has often "
    "learnt a leak instead of the task.",
    fix=Fix(text="See whether the feature is known at the time of prediction; train with it missing at times."),
    taxonomy=("AML.T0015",),
)

NONDETERMINISTIC_ANSWERS = Rule(
    id="nondeterministic-answers",
    title="The model answers the same question differently",
    severity="medium",
    help="What was measured once need not hold the next time, and an attacker may ask until the answer suits. Dropout that "
    "is still on, random augmentation, or unordered sums on several threads are the usual reasons.",
    fix=Fix(
        text="Switch the model to evaluation mode and fix seeds inside it; average over its randomness if it is meant."
    ),
    taxonomy=("AML.T0015",),
)

BATCH_DEPENDENT_ANSWERS = Rule(
    id="batch-dependent-answers",
    title="The answer depends on what else is in the batch",
    severity="medium",
    help="Others who are served in the same batch change the answer, by chance or on purpose. Batch statistics that are "
    "still computed, or scaling over the batch, are the usual reasons.",
    fix=Fix(text="Use statistics of the training data (evaluation mode), never those of the batch."),
    taxonomy=("AML.T0015",),
)

NORMALISATION_SUSPECT = Rule(
    id="normalisation-suspect",
    title="The model is much better when its inputs are scaled differently",
    severity="medium",
    help="The declared range or normalisation is probably not the one of the training: every number about this model is "
    "then a number about a model that is fed wrongly.",
    fix=Fix(text="Compare input.range and normalisation with the training code, and correct the wrong one."),
    taxonomy=("AML.T0018",),
)

INPUT_RANGE_UNUSED = Rule(
    id="input-range-unused",
    title="The data use only a small part of the declared range",
    severity="low",
    help="If images in 0 to 1 are declared as 0 to 255, eps means something else and an attack is far too weak.",
    fix=Fix(text="Declare input.range as the values really are."),
)

OUT_OF_RANGE_INPUTS = Rule(
    id="out-of-range-inputs",
    title="Evaluation data lie outside the declared range",
    severity="low",
    help="Either the declaration is wrong, or the data hold values that no valid input has.",
    fix=Fix(text="Correct input.columns or input.range, or clean the data."),
)

CONSTANT_CHANNEL = Rule(
    id="constant-channel",
    title="A channel is the same in every image",
    severity="low",
    help="A channel without information is often a decoding fault: grey images in three channels, or a broken sensor.",
    fix=Fix(text="Look at how images are read; drop the channel if it is meant to be empty."),
)

NON_FINITE_OUTPUT = Rule(
    id="non-finite-output",
    title="The model returns NaN or infinite scores",
    severity="medium",
    help="Whatever compares such a score gets a false answer without an error: NaN is neither above nor below a threshold.",
    fix=Fix(text="Refuse inputs that are not finite or far outside the range before they reach the model."),
    taxonomy=("CWE-20", "AML.T0029"),
)

ODD_INPUT_ANSWERED = Rule(
    id="odd-input-answered",
    title="The model answers about inputs that cannot be valid",
    severity="info",
    help="NaN, infinite or absurdly large values get an ordinary answer. That is how most models are; whoever serves it "
    "should know that the model will not notice.",
    fix=Fix(text="Validate inputs in front of the model: finite, in range, of known categories."),
    taxonomy=("CWE-20",),
)

OUTPUT_NOT_AS_DECLARED = Rule(
    id="output-not-as-declared",
    title="The scores are not of the kind that is declared",
    severity="low",
    help="Probabilities taken for logits weaken attacks and spoil confidence; logits taken for probabilities mean nothing.",
    fix=Fix(text="Set output to what the model returns."),
)

RULES: tuple[Rule, ...] = (
    ACCURACY_NOT_AS_DECLARED,
    CLASS_ACCURACY_COLLAPSE,
    CORRUPTION_COLLAPSE,
    FAULT_RAISES,
    MISSING_VALUE_RAISES,
    MISSING_VALUE_COLLAPSE,
    NONDETERMINISTIC_ANSWERS,
    BATCH_DEPENDENT_ANSWERS,
    NORMALISATION_SUSPECT,
    INPUT_RANGE_UNUSED,
    OUT_OF_RANGE_INPUTS,
    CONSTANT_CHANNEL,
    NON_FINITE_OUTPUT,
    ODD_INPUT_ANSWERED,
    OUTPUT_NOT_AS_DECLARED,
)
