"""Where a ledger may be, how its head is written, and what importing it costs."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import UsageError
from heliotrope.ledger import Head, ledger_path, open_ledger


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("ledger.db", "ledger.db"),
        (Path("a/b.db"), "a/b.db"),
        ("sqlite:///relative.db", "relative.db"),
        ("sqlite:////absolute/x.db", "/absolute/x.db"),
        ("odd name?#%41.db", "odd name?#%41.db"),
    ],
)
def test_paths_and_urls(location, expected):
    assert ledger_path(location) == Path(expected)


@pytest.mark.parametrize(
    "location", ["", "sqlite:///", "sqlite:///:memory:", ":memory:", "sqlite://", "mysql://u:secret@h/x", "a\0b"]
)
def test_locations_that_name_no_file(location):
    with pytest.raises(UsageError) as caught:
        open_ledger(location)
    assert caught.value.hint
    assert "secret" not in caught.value.diagnostics()


def test_odd_names_of_files_work(tmp_path):
    path = tmp_path / "a ?#%41&mode=memory é.db"
    with open_ledger(path, create=True) as ledger:
        assert ledger.verify().records == 0
    assert path.is_file()


def test_a_relative_path_stays_where_it_was_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger("ledger.db", create=True)
    monkeypatch.chdir("/")
    assert ledger.verify().records == 0
    ledger.close()


@given(st.integers(0, 10**16 - 1), st.binary(min_size=32, max_size=32))
def test_a_head_reads_back(sequence, digest):
    head = Head(sequence, digest.hex())
    assert Head.parse(str(head)) == head
    assert Head.parse(f" {head}\n") == head


@pytest.mark.parametrize(
    "text", ["", "5", ":", "5:abc", "-1:" + "0" * 64, "05:" + "0" * 64, "5:" + "A" * 64, "\x1b" * 200]
)
def test_what_is_no_head(text):
    with pytest.raises(UsageError, match="head of a ledger") as caught:
        Head.parse(text)
    assert "\x1b" not in caught.value.diagnostics()
    assert len(caught.value.message) < 160


@given(st.text())
def test_no_text_makes_parsing_fail_otherwise(text):
    with contextlib.suppress(UsageError):
        Head.parse(text)


def test_importing_the_ledger_imports_no_sqlalchemy():
    code = "import heliotrope.ledger, heliotrope.ledger.blobs, heliotrope.ledger.ownership, sys; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
