"""The server crashes, shuts down, throws somebody out or has no room: one clear error, and nothing acknowledged is lost."""

import os
import random
import threading
import time

import pytest
from tests.integration.killing import child
from tests.services import Postgres
from tests.unit.ledger.forgery import entry, fill

from heliotrope.core.errors import ExitCode, LedgerError
from heliotrope.ledger import Entry, migrate_ledger, open_ledger


def append_until_it_fails(url, say):
    try:
        with open_ledger(url) as ledger:
            for number in range(100_000):
                appended = ledger.append([Entry("note", {"n": number, "part": part}) for part in range(5)])
                say("".join(f"{item.sequence} {item.id}\n" for item in appended))
    except LedgerError as error:
        say(f"error {error.exit_code} {'hint:' in error.diagnostics()}\n")


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_server_that_goes_away_during_appends(postgres: Postgres, mode):
    url = postgres.new_url()
    fill(url, 0)
    rng, acknowledged = random.Random(20261124), {}
    for _ in range(3):
        process, reader = child(lambda say: append_until_it_fails(url, say))
        heard = os.read(reader, 100)
        time.sleep(rng.uniform(0.05, 0.3))
        postgres.stop(mode)
        with os.fdopen(reader) as told:
            lines = (heard.decode() + told.read()).splitlines()
        assert os.waitpid(process, 0)[1] == 0
        assert lines[-1] == f"error {ExitCode.INCONCLUSIVE} True", lines[-1]
        acknowledged.update(line.split() for line in lines[:-1])
        with pytest.raises(LedgerError, match="cannot be reached") as caught:
            open_ledger(url)
        assert caught.value.hint
        postgres.start()
        with open_ledger(url) as ledger:
            assert ledger.verify().records % 5 == 0
            there = {str(event.sequence): event.id for event in ledger.events()}
        assert acknowledged.items() <= there.items()
    assert len(acknowledged) > 20


def test_an_open_ledger_goes_on_after_the_server_came_back(postgres: Postgres):
    url = postgres.new_url()
    fill(url)
    with open_ledger(url) as ledger:
        ledger.append([entry(11)])
        postgres.stop("immediate")
        with pytest.raises(LedgerError, match=r"cannot be reached|lost its connection"):
            ledger.append([entry(12)])
        with pytest.raises(LedgerError, match="cannot be reached"):
            ledger.verify()
        postgres.start()
        ledger.append([entry(12)])
        assert ledger.verify().records == 12


@pytest.mark.parametrize("act", ["append", "blob", "migrate", "verify"])
def test_a_connection_that_is_cut_in_the_middle(postgres: Postgres, act):
    url = postgres.new_url()
    head = fill(url)
    with open_ledger(url) as ledger:
        works = {
            "append": lambda: ledger.append([Entry("note", {"text": "x" * 100_000, "n": n}) for n in range(400)]),
            "blob": lambda: ledger.blobs.put(os.urandom(40_000_000), "application/octet-stream"),
            "migrate": lambda: [migrate_ledger(url, 1), migrate_ledger(url, 2), works["migrate"]()],
            "verify": lambda: [ledger.verify() for _ in range(10_000)],
        }
        done = threading.Event()

        def cut():
            while not done.wait(0.15):
                postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'heliotrope'"
                )

        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            with pytest.raises(LedgerError, match=r"lost its connection|being shut down|cannot be reached") as caught:
                works[act]()
        finally:
            done.set()
            cutter.join()
        assert caught.value.hint
        verified = ledger.verify(head)
        assert verified.records == 10
        ledger.append([entry(11)])


def test_more_connections_than_the_server_has(postgres: Postgres):
    url = postgres.new_url()
    fill(url)
    import psycopg

    others = []
    try:
        for _ in range(100):
            try:
                others.append(psycopg.connect(postgres.socket_url.replace("?", "?application_name=other&", 1)))
            except psycopg.OperationalError:
                break
        with pytest.raises(LedgerError) as caught:
            open_ledger(url)
        assert caught.value.hint
    finally:
        for other in others:
            other.close()


def test_rivals_on_a_server_see_one_order(postgres: Postgres):
    """Many threads over two handles: sequences without a gap, every acknowledgement true."""
    url = postgres.new_url()
    fill(url, 0)
    with open_ledger(url) as one, open_ledger(url) as two:
        told = []

        def work(ledger, name):
            for number in range(10):
                told.extend(ledger.append([Entry("note", {"who": name, "n": number})]))

        threads = [threading.Thread(target=work, args=((one, two)[name % 2], name)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(item.sequence for item in told) == list(range(1, 61))
        assert one.verify().records == 60
