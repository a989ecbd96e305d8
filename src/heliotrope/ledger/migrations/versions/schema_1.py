"""Schema 1: contents, events, keys and meta. Ledgers of the first version have it."""

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "1"
down_revision = None


def upgrade() -> None:
    """Lay the tables in an empty place; the caller fills meta and sets the guards."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table("meta", sa.Column("name", text, primary_key=True), sa.Column("value", text, nullable=False))
    op.create_table(
        "contents", sa.Column("content_id", text, primary_key=True), sa.Column("body", sa.LargeBinary, nullable=False)
    )
    op.create_table(
        "events",
        sa.Column("sequence", count, primary_key=True, autoincrement=False),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("time", text, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("content_id", text, sa.ForeignKey("contents.content_id"), nullable=False),
        sa.Column("size", count, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", text, nullable=False),
    )
    op.create_index("events_by_content", "events", ["content_id", "sequence"])
    op.create_index("events_by_kind", "events", ["kind", "sequence"])
    op.create_table(
        "event_keys",
        sa.Column("name", text, primary_key=True),
        sa.Column("value", text, primary_key=True),
        sa.Column("sequence", count, sa.ForeignKey("events.sequence"), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index("event_keys_by_sequence", "event_keys", ["sequence"])


def downgrade() -> None:
    """Nothing came before; a ledger is never taken away."""
    raise NotImplementedError("there is no format before 1")
