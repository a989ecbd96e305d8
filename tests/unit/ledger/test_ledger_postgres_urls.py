"""What a URL of PostgreSQL says, and that a password in it is never repeated."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import ExitCode, MissingExtraError, UsageError
from heliotrope.ledger import is_postgres, ledger_path, open_ledger
from heliotrope.ledger._postgres_url import parse_postgres


@pytest.mark.parametrize(
    ("url", "parameters", "schema", "shown"),
    [
        ("postgresql://", {}, "heliotrope", "postgresql:///"),
        (
            "postgres://ann@db.example.org/ml",
            {"user": "ann", "host": "db.example.org", "dbname": "ml"},
            "heliotrope",
            "postgresql://ann@db.example.org/ml",
        ),
        (
            "POSTGRESQL://ann:se%23cret@db:5433/ml?schema=team_a&sslmode=verify-full&sslrootcert=/etc/ca.pem",
            {
                "user": "ann",
                "host": "db",
                "port": "5433",
                "dbname": "ml",
                "sslmode": "verify-full",
                "sslrootcert": "/etc/ca.pem",
            },
            "team_a",
            "postgresql://ann@db:5433/ml?schema=team_a&sslmode=verify-full&sslrootcert=/etc/ca.pem",
        ),
        (
            "postgresql:///ml?host=/run/postgresql&port=5433",
            {"dbname": "ml", "host": "/run/postgresql", "port": "5433"},
            "heliotrope",
            "postgresql:///ml?host=/run/postgresql&port=5433",
        ),
        (
            "postgresql://ann@[::1]:5433/ml",
            {"user": "ann", "host": "::1", "port": "5433", "dbname": "ml"},
            "heliotrope",
            "postgresql://ann@[::1]:5433/ml",
        ),
        (
            "postgresql://a,b:5433/ml?target_session_attrs=read-write",
            {"host": "a,b", "port": ",5433", "dbname": "ml", "target_session_attrs": "read-write"},
            "heliotrope",
            "postgresql:///ml?host=a,b&port=,5433&target_session_attrs=read-write",
        ),
        (
            "postgresql://d%40d@h/a%2Fb",
            {"user": "d@d", "host": "h", "dbname": "a/b"},
            "heliotrope",
            "postgresql://d%40d@h/a%2Fb",
        ),
    ],
)
def test_what_a_url_says(url, parameters, schema, shown):
    location = parse_postgres(url)
    assert (location.parameters, location.schema, str(location)) == (parameters, schema, shown)
    assert parse_postgres(shown).parameters == parameters


def test_the_password_is_for_the_driver_alone():
    location = parse_postgres("postgresql://ann:p%40ss%3A@h/db")
    assert location.password == "p@ss:"
    assert "p@ss" not in repr(location) + str(location)
    assert "password" not in location.parameters


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:ann:SECRET@h/db",
        "postgresql:/ann:SECRET@h/db",
        "postgresql+psycopg2://ann:SECRET@h/db",
        "postgresql://ann:SECRET@h:port/db",
        "postgresql://ann:SECRET@h:99999999/db",
        "postgresql://ann:SECRET@h/db?password=SECRET",
        "postgresql://ann:SECRET@h/db?options=-c%20synchronous_commit=off",
        "postgresql://ann:SECRET@h/db?user=bob",
        "postgresql://ann:SECRET@h/db?sslmode=require&sslmode=disable",
        "postgresql://ann:SECRET@h/db?schema=pg_catalog",
        'postgresql://ann:SECRET@h/db?schema=x";drop',
        "postgresql://ann:SECRET@h/db?schema=",
        "postgresql://ann:SECRET@h/db?nonsense",
        "postgresql://ann:SECRET@h/db#part",
        "postgresql://ann:SECRET%ff@h/db",
        "postgresql://ann:SECRET@h/d%00b",
        "postgresql://ann:SECRET@h/db\n",
        "mysql://ann:SECRET@h/db",
    ],
)
def test_what_cannot_be_is_refused_without_repeating_it(url):
    with pytest.raises(UsageError) as caught:
        open_ledger(url, create=True)
    assert "SECRET" not in caught.value.diagnostics()
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


@given(st.text())
def test_no_text_fails_otherwise(text):
    for url in (text, "postgresql://" + text):
        with contextlib.suppress(UsageError):
            parse_postgres(url)


SAFE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1, max_size=20)


@given(user=SAFE, database=SAFE, schema=st.from_regex(r"(?!pg_)[a-z_][a-z0-9_]{0,30}", fullmatch=True))
def test_what_is_shown_means_the_same(user, database, schema):
    from urllib.parse import quote

    url = f"postgresql://{quote(user, safe='')}:SECRET@h:1/{quote(database, safe='')}?schema={schema}"
    location = parse_postgres(url)
    assert location.password == "SECRET"
    again = parse_postgres(str(location))
    assert (again.parameters, again.schema, again.password) == (location.parameters, schema, None)


def test_a_url_is_no_file():
    assert is_postgres("postgres://x")
    assert not is_postgres("postgres.db")
    with pytest.raises(UsageError, match="no file") as caught:
        ledger_path("postgresql://ann:SECRET@h/db")
    assert "SECRET" not in caught.value.diagnostics()


def test_without_the_driver_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as caught:
        open_ledger("postgresql://ann:SECRET@h/db")
    assert "heliotrope[postgres]" in caught.value.hint
    assert "\n" not in caught.value.message
