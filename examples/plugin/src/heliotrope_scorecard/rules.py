"""Every rule of this plug-in. Ids begin with a word of our own, so that they meet nobody else's."""

from heliotrope.core.findings import Fix, Rule

__all__ = ["ATTACHED", "EXPRESSION", "GAP", "INCLUDE_LEAVES", "OUT_OF_RANGE"]

EXPRESSION = Rule(
    id="scorecard-expression",
    title="The scorecard holds an expression that its loader evaluates",
    severity="critical",
    help="Points written as expr: are handed to Python's eval when the file is loaded, with all that Python can do.",
    fix=Fix(text="Do not load this file. Ask for a scorecard whose points are numbers."),
    taxonomy=("AML.T0011.000", "CWE-502"),
)
INCLUDE_LEAVES = Rule(
    id="scorecard-include-leaves",
    title="The scorecard includes a file outside its folder",
    severity="high",
    help="The loader reads whatever the line names: another scorecard in place of the one that was reviewed, or any file.",
    fix=Fix(text="Copy the included scorecard beside this one and name it without folders."),
    taxonomy=("AML.T0011.000", "CWE-22"),
)
ATTACHED = Rule(
    id="scorecard-attachment",
    title="The scorecard carries an attached file",
    severity="info",
    help="Attachments are unpacked beside the scorecard when it is loaded. Their content was inspected as a file of its own.",
    fix=Fix(text="Ship the file beside the scorecard, where everybody sees it.", safe=True),
)
GAP = Rule(
    id="scorecard-gap",
    title="Some values of a feature fall into no bin, or into two",
    severity="medium",
    help="For such a value the points depend on the loader: an error, zero, or the first bin that happens to fit.",
    fix=Fix(text="Let each bin begin where the one before it ends, from the lowest to the highest value."),
)
OUT_OF_RANGE = Rule(
    id="scorecard-out-of-range",
    title="The score can leave its declared range",
    severity="low",
    help="Whoever reads the score trusts the range; values outside it are cut off or misread further on.",
    fix=Fix(text="Correct the points or the declared range."),
)
