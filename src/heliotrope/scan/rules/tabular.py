"""Rules of data beside models."""

from heliotrope.core.findings import Rule
from heliotrope.scan.rules._table import UNTRUSTED, rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    rule(
        "arrow-python-type",
        "A table's column has a pickled type",
        "high",
        "Old readers of Arrow and Parquet unpickle such a type when they open the file, which runs whatever is in it.",
        "Do not open this file with pyarrow before 14.0.1. Ask for the table with plain columns.",
        UNTRUSTED,
    ),
)
