"""The tables, in portable SQLAlchemy Core."""

import sqlalchemy as sa

__all__ = ["SCHEMA_VERSION", "RawBytes", "contents", "event_keys", "events", "meta", "metadata"]

SCHEMA_VERSION = 1


class RawBytes(sa.LargeBinary):
    """Bytes as the driver gives them. A forged cell may hold text, which must reach verification, not raise before it."""

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """No conversion."""


metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("content_id", sa.Text, primary_key=True),
    sa.Column("body", RawBytes, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("content_id", sa.Text, sa.ForeignKey("contents.content_id"), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body", RawBytes, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("events_by_content", "content_id", "sequence"),
    sa.Index("events_by_kind", "kind", "sequence"),
)

event_keys = sa.Table(
    "event_keys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, sa.ForeignKey("events.sequence"), primary_key=True, autoincrement=False),
    sa.Index("event_keys_by_sequence", "sequence"),
    sqlite_with_rowid=False,
)
