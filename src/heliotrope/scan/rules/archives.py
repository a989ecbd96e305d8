"""Rules of any file, and of archives."""

from heliotrope.core.findings import Rule
from heliotrope.scan.rules._table import AMBIGUOUS, DO_NOT_LOAD, MASQUERADING, REPACK, UNSAFE_ARTIFACT, rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    rule(
        "scan-limit",
        "A limit of the scanner was reached",
        "low",
        "The file is larger or deeper than any known model; what lies behind the limit was not inspected.",
        "Treat the file as not inspected.",
        ("AML.T0029", "CWE-400"),
    ),
    rule(
        "file-polyglot",
        "The file is of several formats at once",
        "high",
        "Different programs read different contents from the same bytes, so what one inspects is not what another loads.",
        DO_NOT_LOAD,
        AMBIGUOUS,
    ),
    rule(
        "file-extension-mismatch",
        "The name says another format than the content",
        "info",
        "Tools that choose by name will take the file for something else.",
        "Rename the file.",
        (MASQUERADING,),
        safe=True,
    ),
    rule(
        "zip-disagreement",
        "The archive describes a member in two ways",
        "high",
        "Local header and central directory differ, so different readers see different members.",
        REPACK,
        AMBIGUOUS,
    ),
    rule(
        "zip-duplicate-member",
        "The archive holds two members of one name",
        "high",
        "Which of them is loaded depends on the reader.",
        REPACK,
        AMBIGUOUS,
    ),
    rule(
        "zip-hidden-member",
        "The archive holds a member its directory does not list",
        "high",
        "Readers that go by local headers see it, readers that go by the directory do not.",
        REPACK,
        AMBIGUOUS,
    ),
    rule(
        "zip-unsafe-name",
        "A member's name leads out of the folder",
        "high",
        "Unpacking the archive carelessly writes a file anywhere on the machine.",
        REPACK,
        (UNSAFE_ARTIFACT, "CWE-22"),
    ),
    rule(
        "zip-bad-checksum",
        "A member's checksum does not match",
        "low",
        "The member was damaged or changed after packing. Some loaders ignore that.",
        "Get the file again and compare digests.",
        ("CWE-354",),
    ),
    rule(
        "zip-encrypted",
        "A member is marked as encrypted",
        "low",
        "Some readers ignore the mark and load the bytes as they are, others refuse.",
        "Get the file again, without encryption.",
        ("CWE-436",),
    ),
    rule(
        "zip-prefix",
        "Bytes stand before the archive",
        "medium",
        "Readers that look at the beginning of the file see something else than those that look at its end.",
        REPACK,
        AMBIGUOUS,
    ),
)
