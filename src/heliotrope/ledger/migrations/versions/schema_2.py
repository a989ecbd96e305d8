"""Schema 2: retention. A content may go once a retention record names it; on a server, blobs have a table.

An event no longer has to find its content by a foreign key: the content id in its hashed bytes is what counts.
"""

import sqlalchemy as sa
from alembic import op

from heliotrope.core.errors import LedgerError

__all__ = ["downgrade", "upgrade"]

revision = "2"
down_revision = "1"

_COPY = (
    "INSERT INTO events_anew (sequence, id, time, kind, content_id, size, body, hash)"
    " SELECT sequence, id, time, kind, content_id, size, body, hash FROM events ORDER BY sequence"
)


def upgrade() -> None:
    """Drop the foreign key of events to contents. SQLite has no statement for that: the table is laid anew."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("events_content_id_fkey", "events", type_="foreignkey")
        text = sa.Text(collation="C")
        op.create_table(
            "blob_parts",
            sa.Column("sha256", text, primary_key=True),
            sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("body", sa.LargeBinary, nullable=False),
        )
    else:
        _lay_events_anew()


def downgrade() -> None:
    """Set the foreign key again; LedgerError when something was removed, which schema 1 would take for tampering."""
    bind = op.get_bind()
    server = bind.dialect.name == "postgresql"
    missing = bind.execute(
        sa.text("SELECT count(*) FROM events WHERE content_id NOT IN (SELECT content_id FROM contents)")
    ).scalar_one()
    if missing:
        raise LedgerError(
            f"format 1 knows no retention, and {missing} records have had their content removed",
            hint="stay with format 2, or restore an export that was made before",
        )
    if server and bind.execute(sa.text("SELECT 1 FROM blob_parts LIMIT 1")).first() is not None:
        raise LedgerError(
            "format 1 keeps no blobs, and this ledger holds some", hint="stay with format 2; nothing was changed"
        )
    if server:
        op.drop_table("blob_parts")
        op.create_foreign_key("events_content_id_fkey", "events", "contents", ["content_id"], ["content_id"])
    else:
        _lay_events_anew(sa.ForeignKey("contents.content_id"))


def _lay_events_anew(*content_constraints: sa.ForeignKey) -> None:
    """The way SQLite documents: new table, copy, drop, rename. Source: https://www.sqlite.org/lang_altertable.html."""
    op.create_table(
        "events_anew",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("content_id", sa.Text, *content_constraints, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.execute(_COPY)
    op.drop_table("events")
    op.rename_table("events_anew", "events")
    op.create_index("events_by_content", "events", ["content_id", "sequence"])
    op.create_index("events_by_kind", "events", ["kind", "sequence"])
