"""Bringing a ledger from one schema to another and back, with Alembic, in one transaction.

The version stands in the ledger's own `meta`, not in a table of Alembic's, which a ledger would not let change. Guards go
down before a migration and come up after it; the chain, its head and the id of the ledger are the same before and after.
"""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from heliotrope.core.errors import InternalError, UsageError
from heliotrope.core.text import printable
from heliotrope.ledger._append import read_head
from heliotrope.ledger._database import OLDEST_SCHEMA, Database, read_version
from heliotrope.ledger._tables import SCHEMA_VERSION, meta

__all__ = ["migrate", "steps"]


def migrate(database: Database, target: int = SCHEMA_VERSION) -> int:
    """Take a prepared database to the target schema; the version it had. Raises LedgerError and changes nothing.

    All of it happens, or nothing does: whoever is killed meanwhile leaves the old schema or the new one.
    """
    if not OLDEST_SCHEMA <= target <= SCHEMA_VERSION:
        raise UsageError(
            f"there is no format {target} of a ledger", hint=f"formats are {OLDEST_SCHEMA} to {SCHEMA_VERSION}"
        )
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    with database.rebuilding() as connection:
        version = read_version(
            connection, printable(database.location)
        )  # under the lock: another process may have been first
        if version != target:
            head = read_head(connection)
            database.drop_guards(connection, version)
            with Operations.context(MigrationContext.configure(connection)):
                for step in steps(version, target):
                    step()
            connection.execute(sa.update(meta).where(meta.c.name == "schema_version").values(value=str(target)))
            for statement in database.guards(target).values():
                connection.exec_driver_sql(statement)
            if read_head(connection) != head:
                raise InternalError("a migration touched the chain", hint="nothing was changed; report this")
    database.version = target
    return version


def steps(start: int, target: int) -> list[Callable[[], None]]:
    """What to run, in order, to get from one schema to the other."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parent))
    lower, upper = sorted((start, target))
    between = list(scripts.iterate_revisions(str(upper), str(lower)))  # from the newest down
    if target > start:
        return [script.module.upgrade for script in reversed(between)]
    return [script.module.downgrade for script in between]
