"""The rules of this room."""

from heliotrope.core.findings import Fix, Rule

__all__ = ["LINK_LEAVES_TREE", "RULES"]

LINK_LEAVES_TREE = Rule(
    id="inventory-link-leaves-tree",
    title="Link leaves the project",
    severity="low",
    help="What the link points to can change without a change in the project, is different on every machine, and was not "
    "inspected. A link in a downloaded model can also make a program read a file it was not meant to.",
    fix=Fix(text="Replace the link by a copy of the file, or remove it."),
    taxonomy=("CWE-59",),
)

RULES = (LINK_LEAVES_TREE,)
