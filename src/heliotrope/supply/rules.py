"""The rules of this room."""

from heliotrope.core.findings import Fix, Rule

__all__ = [
    "DEPENDENCIES_UNDECLARED",
    "DEPENDENCY_EXTRA_INDEX",
    "DEPENDENCY_MUTABLE_SOURCE",
    "DEPENDENCY_UNENCRYPTED_SOURCE",
    "DEPENDENCY_UNPINNED",
    "DEPENDENCY_WITHOUT_HASH",
    "LINK_LEAVES_TREE",
    "LOCKS_DISAGREE",
    "LOCK_OUT_OF_STEP",
    "RULES",
]

LINK_LEAVES_TREE = Rule(
    id="inventory-link-leaves-tree",
    title="Link leaves the project",
    severity="low",
    help="What the link points to can change without a change in the project, is different on every machine, and was not "
    "inspected. A link in a downloaded model can also make a program read a file it was not meant to.",
    fix=Fix(text="Replace the link by a copy of the file, or remove it."),
    taxonomy=("CWE-59",),
)

DEPENDENCIES_UNDECLARED = Rule(
    id="dependencies-undeclared",
    title="No file says which packages the code needs",
    severity="low",
    help="Nobody can tell which packages run with the model, whether they have known weaknesses, or install the same ones again.",
    fix=Fix(
        text="Write pyproject.toml or requirements.txt, and a lock file; or name files in heliotrope.yaml under dependencies."
    ),
    taxonomy=("AML.T0010.001", "CWE-1357"),
)

DEPENDENCY_UNPINNED = Rule(
    id="dependency-unpinned",
    title="A package is not pinned to one version",
    severity="low",
    help="Which version is installed depends on the day. What was tested is not what is deployed, and a new release by whoever "
    "holds the name is taken in unseen.",
    fix=Fix(
        text="Pin every package with ==, or write a lock file (uv lock, poetry lock, pdm lock, pip lock, pip-compile)."
    ),
    taxonomy=("AML.T0010.001", "CWE-1357"),
)

DEPENDENCY_WITHOUT_HASH = Rule(
    id="dependency-without-hash",
    title="A pinned package has no digest",
    severity="info",
    help="A version names a file on an index; only a digest names its bytes. Without one, an index or a mirror decides what is "
    "installed under that version.",
    fix=Fix(text="Write digests: pip-compile --generate-hashes, uv lock, poetry lock or pip lock do.", safe=True),
    taxonomy=("AML.T0010.001", "CWE-353"),
)

DEPENDENCY_MUTABLE_SOURCE = Rule(
    id="dependency-mutable-source",
    title="A package comes from a place whose content can change",
    severity="medium",
    help="A branch or tag can be moved and a file behind a URL replaced, with no change in the project: the next installation "
    "runs code that nobody looked at.",
    fix=Fix(text="Name the full commit (…@<40 digits>), or add #sha256=… to the URL."),
    taxonomy=("AML.T0010.001", "CWE-494"),
)

DEPENDENCY_UNENCRYPTED_SOURCE = Rule(
    id="dependency-unencrypted-source",
    title="Packages are fetched over a connection that anybody on the way can change",
    severity="high",
    help="Installing a package runs its code. Without encryption, or with certificates unchecked, and without digests, whoever "
    "sits between the machine and the server chooses that code.",
    fix=Fix(text="Use https with valid certificates, or pin every package with a digest."),
    taxonomy=("AML.T0010.001", "CWE-494"),
)

DEPENDENCY_EXTRA_INDEX = Rule(
    id="dependency-extra-index",
    title="Packages may come from two indexes",
    severity="medium",
    help="pip asks all indexes and takes the highest version. Whoever registers the name of an internal package on a public index "
    "gets their code installed (dependency confusion).",
    fix=Fix(text="Use one index that mirrors the others, or pin every package with a digest."),
    taxonomy=("AML.T0010.001", "CWE-829"),
)

LOCK_OUT_OF_STEP = Rule(
    id="lock-out-of-step",
    title="The lock file does not fit what the project declares",
    severity="medium",
    help="An installer works the versions out anew or fails, so what is installed is not what the lock file promises.",
    fix=Fix(text="Write the lock file again with the tool that made it, and commit both together."),
    taxonomy=("AML.T0010.001", "CWE-1357"),
)

LOCKS_DISAGREE = Rule(
    id="locks-disagree",
    title="Two lock files pin different versions",
    severity="medium",
    help="Which packages run depends on which file was used to install, so that what was tested may not be what is deployed.",
    fix=Fix(text="Keep one lock file, or write the others from it."),
    taxonomy=("AML.T0010.001", "CWE-1357"),
)

RULES = (
    LINK_LEAVES_TREE,
    DEPENDENCIES_UNDECLARED,
    DEPENDENCY_UNPINNED,
    DEPENDENCY_WITHOUT_HASH,
    DEPENDENCY_MUTABLE_SOURCE,
    DEPENDENCY_UNENCRYPTED_SOURCE,
    DEPENDENCY_EXTRA_INDEX,
    LOCK_OUT_OF_STEP,
    LOCKS_DISAGREE,
)
