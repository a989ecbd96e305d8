"""What the checks that explain may find."""

from heliotrope.core.findings import Fix, Rule

__all__ = ["ATTRIBUTION_DRIFT", "INSENSITIVE_ATTRIBUTIONS", "RULES", "SHORTCUT_FEATURE", "TRIGGER_REGION"]

SHORTCUT_FEATURE = Rule(
    id="shortcut-feature",
    title="One feature or region carries the decision",
    severity="medium",
    help="When permuting a single part among the samples costs most of what the model knows, it rests on that part alone. "
    "That is often a leak (a time stamp, an identifier, a watermark) instead of the task, and an easy way to mislead it.",
    fix=Fix(
        text="See whether this part is known, and free to vary, at the time of prediction. If it is a leak, remove it and "
        "train again; if the task really is this simple, say so in a waiver."
    ),
    taxonomy=("AML.T0020", "ML02:2023"),
)

ATTRIBUTION_DRIFT = Rule(
    id="attribution-drift",
    title="The decision rests on other features than before",
    severity="low",
    help="A new version that is as accurate as the old one, or new data that look harmless, may have moved the decision to "
    "features that nobody has looked at. Drift of attributions often comes before a loss of accuracy.",
    fix=Fix(
        text="See whether the features that gained are ones the task should rest on, and whether they mean the same as before "
        "(units, encodings, cameras). If the change is wanted, make this version the previous one."
    ),
    taxonomy=("AML.T0031", "ML08:2023"),
)

INSENSITIVE_ATTRIBUTIONS = Rule(
    id="insensitive-attributions",
    title="Attributions do not depend on what the model has learned",
    severity="low",
    help="The maps stay much the same when all parameters of the model are random. They then show the input, like an edge "
    "detector, and say nothing of the model: whoever reads them is misled.",
    fix=Fix(
        text="Do not rest a decision on these maps. Compare with explain.shortcut, which asks the model and trusts no method, "
        "and look for parts of the network that no parameter governs, as fixed filters in front of it."
    ),
    taxonomy=("ML09:2023",),
)

TRIGGER_REGION = Rule(
    id="trigger-region",
    title="A small fixed region drives one class",
    severity="medium",
    help="The content of one small region, put onto samples of other classes, turns most of them into one class, and no other "
    "region of its size does. That is how the trigger of a planted backdoor behaves, and how a mark of the data does. It is "
    "a hint and no proof.",
    fix=Fix(
        text="Look at the region in the training samples of this class. A mark that does not belong to the task goes, with the "
        "samples that carry it if nobody can say where they come from; then train again and see whether the hint is gone."
    ),
    taxonomy=("AML.T0018.000", "ML10:2023"),
)

RULES = (ATTRIBUTION_DRIFT, INSENSITIVE_ATTRIBUTIONS, SHORTCUT_FEATURE, TRIGGER_REGION)
"""All rules of this room."""
