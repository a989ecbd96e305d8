"""The tables, in portable SQLAlchemy Core."""

import sqlalchemy as sa

__all__ = ["SCHEMA_VERSION", "RawBytes", "blob_parts", "contents", "event_keys", "events", "meta", "metadata", "tables"]

SCHEMA_VERSION = 2
"""Of the tables and guards together; `heliotrope.ledger.migrations` leads from each to the next and back."""


class RawBytes(sa.LargeBinary):
    """Bytes as the driver gives them. A forged cell may hold text, which must reach verification, not raise before it."""

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """No conversion."""


_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared byte by byte: an index must not depend on the collations of an operating system, which change."""
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits on both: SQLite's INTEGER has them, and only a column of that name is the rowid."""

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("content_id", _TEXT, primary_key=True),
    sa.Column("body", RawBytes, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", _COUNT, primary_key=True, autoincrement=False),
    sa.Column("id", _TEXT, nullable=False, unique=True),
    sa.Column("time", _TEXT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("content_id", _TEXT, nullable=False),  # refers to contents, where retention may have taken it out
    sa.Column("size", _COUNT, nullable=False),
    sa.Column("body", RawBytes, nullable=False),
    sa.Column("hash", _TEXT, nullable=False),
    sa.Index("events_by_content", "content_id", "sequence"),
    sa.Index("events_by_kind", "kind", "sequence"),
)

event_keys = sa.Table(
    "event_keys",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, primary_key=True),
    sa.Column("sequence", _COUNT, sa.ForeignKey("events.sequence"), primary_key=True, autoincrement=False),
    sa.Index("event_keys_by_sequence", "sequence"),
    sqlite_with_rowid=False,
)

blob_parts = sa.Table(
    "blob_parts",
    metadata,
    sa.Column("sha256", _TEXT, primary_key=True),
    sa.Column("part", _COUNT, primary_key=True, autoincrement=False),
    sa.Column("body", RawBytes, nullable=False),
)
"""Blobs of a ledger on a server, in parts; beside a file they are files."""


def tables(dialect: str) -> list[sa.Table]:
    """The tables a ledger has in a database of that kind."""
    return [table for table in metadata.sorted_tables if dialect == "postgresql" or table is not blob_parts]
