"""The objects of a ledger in a schema of PostgreSQL: laying them, and telling whether they are all, and ours."""

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger._tables import SCHEMA_VERSION, blob_parts, metadata, tables

__all__ = ["Objects", "guards", "has_ledger", "lay", "our_tables", "refuse_foreign"]

_FUNCTION = "refuse_change"
_PRUNED_FUNCTION = "refuse_unless_pruned"
_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32
_VERBS = {"update": _UPDATE, "delete": _DELETE, "truncate": _TRUNCATE}
"""Bits of pg_trigger.tgtype. Source: https://www.postgresql.org/docs/current/catalog-pg-trigger.html, pg_trigger.h."""
_BODIES = {
    _FUNCTION: " BEGIN RAISE EXCEPTION 'a ledger is append-only' USING ERRCODE = 'restrict_violation'; END ",
    _PRUNED_FUNCTION: (
        " DECLARE named text; gone text; BEGIN"
        " IF TG_TABLE_NAME = 'contents' THEN named := 'pruned'; gone := OLD.content_id;"
        " ELSE named := 'pruned-blob'; gone := OLD.sha256; END IF;"
        " IF NOT EXISTS (SELECT 1 FROM event_keys JOIN events ON events.sequence = event_keys.sequence"
        " WHERE event_keys.name = named AND event_keys.value = gone AND events.kind = 'retention')"
        " THEN RAISE EXCEPTION 'a ledger is append-only' USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END "
    ),
}
_PRUNABLE = ("contents", "blob_parts")
"""A row of these may go once a retention record names it."""

Objects = set[tuple[str, str, str]]
"""(kind, name, what it must be like)."""


def our_tables(version: int) -> list[sa.Table]:
    """Schema 1 keeps no blobs."""
    return [table for table in tables("postgresql") if version >= 2 or table is not blob_parts]


def lay(connection: sa.Connection, schema: str) -> None:
    """Lay the tables and guards of today's schema in an empty schema of the database."""
    metadata.create_all(connection, tables=our_tables(SCHEMA_VERSION), checkfirst=False)
    for statement in guards(schema, SCHEMA_VERSION).values():
        connection.exec_driver_sql(statement)


def guards(schema: str, version: int) -> dict[str, str]:
    """Functions and triggers, by name: a barrier against accidents. The hash chain is what tells.

    A role that may only SELECT and INSERT meets a real one.
    """
    made = {
        name: (
            f'CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = "{schema}", pg_temp AS $${body}$$'
        )
        for name, body in _BODIES.items()
        if version >= 2 or name == _FUNCTION
    }
    for name, (table, verb, function) in _triggers(version).items():
        scope = "ROW" if function == _PRUNED_FUNCTION else "STATEMENT"
        made[name] = (
            f"CREATE TRIGGER {name} BEFORE {verb.upper()} ON {table} FOR EACH {scope} EXECUTE FUNCTION {function}()"
        )
    return made


def drop_guards(connection: sa.Connection, version: int) -> None:
    """Take triggers and functions away."""
    for name, (table, *_) in _triggers(version).items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    for name in _BODIES:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}()")


def has_ledger(connection: sa.Connection, schema: str) -> bool | None:
    """Whether there is a ledger's meta table; None when the schema is missing or empty."""
    query = sa.text(
        "SELECT c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = :schema LIMIT 200"
    )
    found = [tuple(row) for row in connection.execute(query, {"schema": schema})]
    return ("meta", "r") in found if found else None


def refuse_foreign(connection: sa.Connection, schema: str, version: int, shown: str) -> None:
    """Views, rules, policies and triggers of somebody else's could hide rows, run for ever or write while we read."""
    foreign = _found(connection, schema) - _wanted(version)
    if foreign:
        kind, name, likeness = min(foreign, key=lambda item: (item[0] not in ("relation", "table"), item))
        raise LedgerError(
            f"the ledger {printable(shown)} holds a {kind} that is not ours: {printable(name)[:80]!r} "
            f"({printable(likeness)[:120]})",
            hint="restore an intact copy, or give the ledger a schema of its own with ?schema=",
        )


def missing_object(connection: sa.Connection, schema: str, version: int) -> str | None:
    """The first object that is gone, or switched off."""
    missing = sorted(_wanted(version) - _found(connection, schema))
    return f"the {missing[0][0]} {missing[0][1]} was removed" if missing else None


def _triggers(version: int) -> dict[str, tuple[str, str, str]]:
    """Name to table, verb and function."""
    return {
        f"{table.name}_refuse_{verb}": (
            table.name,
            verb,
            _PRUNED_FUNCTION if version >= 2 and verb == "delete" and table.name in _PRUNABLE else _FUNCTION,
        )
        for table in our_tables(version)
        for verb in _VERBS
    }


def _wanted(version: int) -> Objects:
    wanted: Objects = set()
    for table in our_tables(version):
        name = table.name
        wanted.add(("table", name, "plain"))
        wanted.add(("index", f"{name}_pkey", "valid"))
        wanted.add(("constraint", f"{name}_pkey", "p"))
        for column in table.columns:
            wanted.add(("column", f"{name}.{column.name}", _type_of(column)))
            if column.unique:
                wanted.add(("index", f"{name}_{column.name}_key", "valid"))
                wanted.add(("constraint", f"{name}_{column.name}_key", "u"))
        wanted |= {("index", str(index.name), "valid") for index in table.indexes}
    wanted.add(("constraint", "event_keys_sequence_fkey", "f"))
    if version == 1:
        wanted.add(("constraint", "events_content_id_fkey", "f"))
    for name, (table_name, verb, function) in _triggers(version).items():
        bits = _VERBS[verb] | _BEFORE | (_ROW if function == _PRUNED_FUNCTION else 0)
        wanted.add(("trigger", name, f"{table_name} {bits} {function} O"))
    wanted |= {("function", name, body) for name, body in _BODIES.items() if version >= 2 or name == _FUNCTION}
    return wanted


def _type_of(column: "sa.Column[object]") -> str:
    """As pg_catalog.format_type names it."""
    kind = column.type
    return "bytea" if isinstance(kind, sa.LargeBinary) else "bigint" if isinstance(kind, sa.BigInteger) else "text"


_FOUND = """
WITH ours AS (
  SELECT c.oid, c.relname::text AS relname, c.relkind::text AS relkind, c.relpersistence::text AS relpersistence,
         c.relrowsecurity, c.relhasrules
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema
)
SELECT CASE WHEN relkind = 'r' THEN 'table' ELSE 'relation' END, relname,
       CASE WHEN relkind = 'r' AND relpersistence = 'p' AND NOT relrowsecurity AND NOT relhasrules
                 AND NOT EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhparent = ours.oid OR h.inhrelid = ours.oid)
            THEN 'plain' ELSE 'a view, partition, unlogged table, or one with rules or policies' END
FROM ours WHERE relkind NOT IN ('i', 'c')
UNION ALL
SELECT 'index', o.relname, CASE WHEN i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL THEN 'valid' ELSE 'invalid' END
FROM ours o JOIN pg_index i ON i.indexrelid = o.oid
UNION ALL
SELECT 'column', o.relname || '.' || a.attname,
       format_type(a.atttypid, NULL) || CASE WHEN a.atthasdef OR a.attgenerated <> '' THEN ' with a default' ELSE '' END
FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid
WHERE o.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', k.conname::text, k.contype::text
FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid WHERE k.contype <> 'n'
UNION ALL
SELECT 'trigger', t.tgname::text,
       o.relname || ' ' || t.tgtype || ' ' || p.proname || ' ' || t.tgenabled::text
       || CASE WHEN t.tgqual IS NULL AND t.tgnargs = 0 THEN '' ELSE ' conditional' END
FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'function', p.proname::text, p.prosrc
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = :schema
UNION ALL
SELECT 'operator', p.oprname::text, 'of somebody'
FROM pg_operator p JOIN pg_namespace n ON n.oid = p.oprnamespace WHERE n.nspname = :schema
LIMIT 500
"""


def _found(connection: sa.Connection, schema: str) -> Objects:
    return {(row[0], row[1], row[2]) for row in connection.execute(sa.text(_FOUND), {"schema": schema})}
