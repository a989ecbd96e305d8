"""What a URL of a ledger on PostgreSQL says. Passwords go to the driver and nowhere else."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable, shorten

__all__ = ["DEFAULT_SCHEMA", "PostgresLocation", "is_postgres", "parse_postgres"]

DEFAULT_SCHEMA = "heliotrope"

_SCHEME = re.compile(r"postgres(?:ql)?(\+[a-z0-9_]*)?:", re.IGNORECASE)
_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_PASSED = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "krbsrvname",
        "passfile",
        "port",
        "require_auth",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)
"""Parameters of libpq that are passed on. `options` is not among them: it could switch off what a ledger relies on.

Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""
_PASSWORDS = frozenset({"password", "sslpassword"})
_HINT = "write postgresql://user@host:port/database?sslmode=verify-full; the password goes into PGPASSWORD or ~/.pgpass"


@dataclass(frozen=True, slots=True)
class PostgresLocation:
    """A schema in a database on a server."""

    parameters: dict[str, str]
    """By the names of libpq; without the password. What is absent comes from the PG… variables or libpq's defaults."""
    schema: str
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URL without the password: safe to print, and it works as typed where PGPASSWORD or ~/.pgpass has it."""
        rest = dict(self.parameters)
        user, host, port = rest.pop("user", ""), rest.get("host", ""), rest.get("port", "")
        authority = f"{quote(user, safe='')}@" if user else ""
        if host and not host.startswith("/") and "," not in host and "," not in port:
            authority += f"[{host}]" if ":" in host else quote(host, safe="")
            authority += f":{port}" if port else ""
            del rest["host"]
            rest.pop("port", None)
        database = quote(rest.pop("dbname", ""), safe="")
        if self.schema != DEFAULT_SCHEMA:
            rest["schema"] = self.schema
        query = f"?{urlencode(sorted(rest.items()), safe='/,:')}" if rest else ""
        return f"postgresql://{authority}/{database}{query}"


def is_postgres(location: object) -> bool:
    """Whether a location means PostgreSQL, however badly the rest is written: a password must not pass for a path."""
    return isinstance(location, str) and _SCHEME.match(location) is not None


def parse_postgres(url: str) -> PostgresLocation:
    """Read a URL of libpq's form; UsageError, which never repeats it, for what is none or asks for what is not passed on."""
    match = _SCHEME.match(url)
    if match is None or not url[match.end() :].startswith("//") or not url.isprintable():
        raise _wrong("is no URL of PostgreSQL")
    if match[1] is not None:
        raise _wrong(f"names a driver ({printable(match[1])}), which is not for the URL to choose")
    head, _, query = url[match.end() + 2 :].partition("?")
    if "#" in head or "#" in query:
        raise _wrong("has a part after #; in a name or password write %23")
    authority, _, database = head.partition("/")
    account, _, hosts = authority.rpartition("@")
    user, _, password = account.partition(":")
    parameters = _hosts(hosts)
    parameters |= {name: _decoded(text) for name, text in (("user", user), ("dbname", database)) if text}
    schema = DEFAULT_SCHEMA
    for name, value in _pairs(query):
        if name == "schema":
            schema = value
        elif name in _PASSWORDS:
            raise _wrong("has a password among its parameters")
        elif name in _PASSED and name not in parameters:
            parameters[name] = value
        else:
            raise _wrong(f"has a parameter that cannot be used here: {shorten(printable(name), 40)}")
    if not _SCHEMA.fullmatch(schema):
        raise _wrong("names no possible schema: lower-case letters, digits and _, at most 63")
    return PostgresLocation(parameters, schema, _decoded(password) or None)


def _hosts(text: str) -> dict[str, str]:
    """One host or several, each with or without a port, as libpq writes them."""
    if not text:
        return {}
    hosts, ports = [], []
    for item in text.split(","):
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::([0-9]{0,5}))?", item)
        if match is None:
            raise _wrong("has no possible host and port")
        hosts.append(_decoded(match[1].strip("[]")))
        ports.append(match[2] or "")
    found = {"host": ",".join(hosts), "port": ",".join(ports)}
    return {name: value for name, value in found.items() if value.strip(",")}


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=50)
    except ValueError:
        raise _wrong("has parameters that cannot be read") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise _wrong("has a parameter twice")
    if any("\x00" in value for _, value in pairs):
        raise _wrong("has a NUL in it")
    return pairs


def _decoded(text: str) -> str:
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _wrong("has an escape that is not UTF-8") from None
    if "\x00" in plain:
        raise _wrong("has a NUL in it")
    return plain


def _wrong(what: str) -> UsageError:
    return UsageError(f"the location of the ledger {what}", hint=_HINT)
