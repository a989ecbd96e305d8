"""What an error of PostgreSQL means for the person who gave the URL."""

import re

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable, shorten

__all__ = ["GRANTS", "explain"]

_SAFE = "what was acknowledged before is safe; whether the last append was recorded, `helio ledger verify` tells"
GRANTS = "have its owner grant USAGE on the schema, and SELECT and INSERT on its tables"
_MEANING: dict[str, tuple[str, str]] = {
    "28": ("does not let this user in", "set PGPASSWORD or ~/.pgpass, and check the user and pg_hba.conf"),
    "3D": ("is in a database that does not exist", "create it with createdb, encoding UTF8, or correct the URL"),
    "42501": ("refuses this user", GRANTS),
    "42P01": ("holds no ledger of Heliotrope", "`helio assess` begins one; check database and schema of the URL"),
    "3F": ("holds no ledger of Heliotrope", "`helio assess` begins one; check database and schema of the URL"),
    "55P03": ("is locked: another process has been writing to it for too long", "wait for it to end, then run again"),
    "40P01": ("is locked: another process writes to it past its lock", "wait for it to end, then run again"),
    "57014": ("answers too slowly", "look for what keeps the server busy, then run again"),
    "25P0": ("was left waiting in a transaction for too long", f"run again; {_SAFE}"),
    "57P": ("is being shut down or started", f"run again when the server is up; {_SAFE}"),
    "25006": ("is read-only: the server is a standby, or was made so", "name the primary server"),
    "53100": ("cannot be written: the server's disk is full", f"free some space, then run again; {_SAFE}"),
    "53300": ("has no connection to spare", "wait, or raise max_connections of the server"),
    "53": ("cannot be served: the server lacks memory or disk", f"look at the server's log, then run again; {_SAFE}"),
    "58": ("cannot be read or written: the server's disk reports an error", f"look at the server's log; {_SAFE}"),
    "XX": ("is damaged: the server finds its own files wrong", "look at the server's log, and restore an intact copy"),
    "23505": ("holds this record id already, or was written to past its lock", "run again"),
    "08": ("lost its connection", f"run again when the server is up; {_SAFE}"),
}
"""SQLSTATE, or how it begins, to what happened and what to do.

Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""


def explain(error: BaseException | None, shown: str) -> LedgerError:
    """The error in our words; `shown` is the URL without a password."""
    state = getattr(error, "sqlstate", None)
    where = f"the ledger {printable(shown)}"
    detail = _first_line(error)
    if isinstance(state, str):
        for length in range(5, 1, -1):
            known = _MEANING.get(state[:length])
            if known is not None:
                return LedgerError(f"{where} {known[0]} ({detail})", hint=known[1])
        return LedgerError(
            f"{where} cannot be used: {detail} (SQLSTATE {state})",
            hint="look at the server's log, or name another place with --ledger",
        )
    if re.search(r"password|authentication", detail, re.IGNORECASE):
        return LedgerError(f"{where} {_MEANING['28'][0]} ({detail})", hint=_MEANING["28"][1])
    if re.search(r"database .* does not exist", detail):
        return LedgerError(f"{where} {_MEANING['3D'][0]} ({detail})", hint=_MEANING["3D"][1])
    if re.search(r"connection failed|could not|timeout|resolve|No such file|refused|starting up", detail):
        return LedgerError(
            f"{where} cannot be reached ({detail})",
            hint="check that the server runs and that host, port and sslmode of the URL are right",
        )
    return LedgerError(f"{where} {_MEANING['08'][0]} ({detail})", hint=_MEANING["08"][1])


def _first_line(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] if error is not None else []
    return shorten(printable(lines[0]), 300) if lines else "no reason given"
