"""Rules of formats of plain numbers."""

from heliotrope.core.findings import Rule
from heliotrope.scan.rules._table import AMBIGUOUS, MASQUERADING, REWRITE, UNSAFE_ARTIFACT, rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    rule(
        "npy-object-array",
        "The array holds Python objects",
        "info",
        "They are stored as a pickle, which was inspected.",
        "Store numbers and strings in arrays of their own type.",
        (UNSAFE_ARTIFACT, "CWE-502"),
        safe=True,
    ),
    rule(
        "npy-invalid-header",
        "The array's header is malformed",
        "medium",
        "numpy did not write this header; parsers of it are a way in.",
        "Write the array again with numpy.save from data you trust.",
        (UNSAFE_ARTIFACT, "CWE-20"),
    ),
    rule(
        "npy-trailing-data",
        "Bytes follow the array",
        "info",
        "numpy stops before them. They were searched for pickles.",
        "Nothing, if the program that wrote the file is known.",
        ("CWE-20",),
        safe=True,
    ),
    rule(
        "safetensors-invalid-header",
        "The safetensors header is malformed",
        "medium",
        "The header is not what the format prescribes; readers that are less strict may be led astray.",
        REWRITE,
        (UNSAFE_ARTIFACT, "CWE-20"),
    ),
    rule(
        "safetensors-duplicate-key",
        "The safetensors header names a key twice",
        "high",
        "Which of the two counts depends on the reader.",
        REWRITE,
        AMBIGUOUS,
    ),
    rule(
        "safetensors-overlap",
        "Tensors share bytes",
        "high",
        "The format forbids it. A value may be read as part of two tensors, or hide in one.",
        REWRITE,
        AMBIGUOUS,
    ),
    rule(
        "safetensors-gap",
        "Bytes between tensors belong to none",
        "medium",
        "The format forbids it: room for data that nobody inspects.",
        REWRITE,
        (MASQUERADING, "CWE-20"),
    ),
    rule(
        "safetensors-trailing-data",
        "Bytes follow the last tensor",
        "medium",
        "The format forbids it: room for data that nobody inspects.",
        REWRITE,
        (MASQUERADING, "CWE-20"),
    ),
    rule(
        "safetensors-out-of-bounds",
        "A tensor lies beyond the end of the file",
        "high",
        "The file is cut short, or made to be read beyond its end.",
        "Get the file again and compare digests.",
        (UNSAFE_ARTIFACT, "CWE-125"),
    ),
    rule(
        "safetensors-size-mismatch",
        "A tensor's type and shape do not fit its bytes",
        "high",
        "Readers that trust the shape read other bytes than those that trust the offsets.",
        REWRITE,
        (UNSAFE_ARTIFACT, "CWE-125"),
    ),
)
