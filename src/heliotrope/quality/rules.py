"""What the quality checks may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = [
    "ACCURACY_NOT_AS_DECLARED",
    "BATCH_DEPENDENT_ANSWERS",
    "CLASS_ACCURACY_COLLAPSE",
    "CONSTANT_CHANNEL",
    "CONSTANT_FEATURE",
    "CORRUPTION_COLLAPSE",
    "DUPLICATE_ROWS_ACROSS_SPLITS",
    "DUPLICATE_ROWS_IN_EVALUATION",
    "FAULT_RAISES",
    "FEATURE_GIVES_ANSWER",
    "IDENTIFIER_FEATURE",
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
    "SINGLE_CLASS_EVALUATION",
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

DUPLICATE_ROWS_ACROSS_SPLITS = Rule(
    id="duplicate-rows-across-splits",
    title="Evaluation rows are in the training data",
    severity="medium",
    help="A model remembers what it was trained on: measured on such rows, every number is better than in use. Low below "
    "1 % of the rows, high above 10 %; one step lower where training rows repeat one another as often.",
    fix=Fix(text="Remove duplicates before the data are split, and evaluate again on rows the model has not seen."),
)

DUPLICATE_ROWS_IN_EVALUATION = Rule(
    id="duplicate-rows-in-evaluation",
    title="Evaluation rows repeat one another",
    severity="low",
    help="Repeated rows count several times, and intervals that take rows for independent become too narrow.",
    fix=Fix(text="Keep one of each, or weigh them on purpose."),
)

CONSTANT_FEATURE = Rule(
    id="constant-feature",
    title="A feature never changes in training data",
    severity="low",
    help="The model cannot have learnt from it; another value in use is outside of all it knows.",
    fix=Fix(text="Leave the column out, or find out why it was not filled."),
)

IDENTIFIER_FEATURE = Rule(
    id="identifier-feature",
    title="A feature identifies the row",
    severity="medium",
    help="Row numbers, ids and tickets let a model remember rows instead of learning, and often follow the order in which "
    "the classes were collected. In use they are new every time.",
    fix=Fix(text="Leave the column out of features; if it is a measurement, declare its type under input.columns."),
)

FEATURE_GIVES_ANSWER = Rule(
    id="feature-gives-answer",
    title="One feature alone gives the answer",
    severity="medium",
    help="Too good to be true: such a column is mostly written after the answer was known, as a code of the diagnosis or "
    "the date of a cancellation, and is not there when the model is used.",
    fix=Fix(text="Find out when and by whom the column is filled; leave it out unless it is known before the answer."),
)

SINGLE_CLASS_EVALUATION = Rule(
    id="single-class-evaluation",
    title="All evaluation rows have the same answer",
    severity="medium",
    help="A model that always says the same is then perfect; accuracy and robustness on such data mean nothing.",
    fix=Fix(text="Evaluate on data that hold every class."),
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
    DUPLICATE_ROWS_ACROSS_SPLITS,
    DUPLICATE_ROWS_IN_EVALUATION,
    CONSTANT_FEATURE,
    IDENTIFIER_FEATURE,
    FEATURE_GIVES_ANSWER,
    SINGLE_CLASS_EVALUATION,
)
