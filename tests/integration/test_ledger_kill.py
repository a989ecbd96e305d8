"""Killed writers, rival writers and a full disk: whatever was acknowledged is there, and the chain holds."""

import contextlib
import os
import random
import select
import signal
import subprocess
import time

import pytest
from tests.integration.killing import child

from heliotrope.core.errors import LedgerError
from heliotrope.ledger import Entry, import_ledger, open_ledger
from heliotrope.ledger.blobs import BlobStore

ROUNDS = 15
_SEED = 20261123


def _append_for_ever(path, say, rng):
    with open_ledger(path) as ledger:
        while True:
            batch = [
                Entry("note", {"n": rng.getrandbits(40), "text": "x" * rng.randrange(3000)})
                for _ in range(rng.randrange(1, 30))
            ]
            appended = ledger.append(batch)
            say("".join(f"{item.sequence} {item.id} {item.content_id}\n" for item in appended))


def _drain(reader, seconds):
    """What the child says within that time after its first word."""
    heard, until = b"", time.monotonic() + 60
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            data = os.read(reader, 65536)
            if not data:
                break
            if not heard:
                until = time.monotonic() + seconds
            heard += data
    return heard


def test_nothing_acknowledged_is_lost_by_kill_9(place):
    path = place
    open_ledger(path, create=True).close()
    rng = random.Random(_SEED)
    acknowledged = {}
    for _ in range(ROUNDS):
        process, reader = child(lambda say: _append_for_ever(path, say, random.Random(rng.random())))
        heard = _drain(reader, rng.uniform(0, 0.15))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        while data := os.read(reader, 65536):
            heard += data
        os.close(reader)
        whole = heard[: heard.rfind(b"\n") + 1].decode()
        for line in whole.splitlines():
            sequence, record_id, content_id = line.split()
            acknowledged[int(sequence)] = (record_id, content_id)
        with open_ledger(path) as ledger:
            records = ledger.verify().records
            assert records >= max(acknowledged, default=0)
            ledger.append([Entry("note", {"round": "over"})])
            assert ledger.verify().records == records + 1
    assert len(acknowledged) > ROUNDS
    with open_ledger(path) as ledger:
        there = {event.sequence: (event.id, event.content_id) for event in ledger.events()}
        assert acknowledged.items() <= there.items()
        for _, content_id in acknowledged.values():
            ledger.content(content_id)


def test_a_writer_killed_while_it_creates(new_place):
    for number in range(20):
        path = new_place()
        process, reader = child(lambda say, path=path: (say("x"), open_ledger(path, create=True)))
        os.read(reader, 1)
        time.sleep(number * 0.002)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(reader)
        with open_ledger(path, create=True) as ledger:
            ledger.append([Entry("note", {})])
            assert ledger.verify().records == 1


def test_rival_writers_lose_nothing(place):
    path = place

    def write(name, say):
        with open_ledger(path, create=True) as ledger:
            for number in range(40):
                for item in ledger.append(
                    [Entry("note", {"who": name, "n": number, "part": part}) for part in range(3)]
                ):
                    say(f"{item.sequence} {item.id}\n")

    children = [child(lambda say, name=name: write(name, say)) for name in ("one", "two", "three")]
    said = []
    for process, reader in children:
        with os.fdopen(reader) as lines:
            said += [tuple(line.split()) for line in lines]
        assert os.waitpid(process, 0)[1] == 0
    with open_ledger(path) as ledger:
        assert ledger.verify().records == 360
        assert sorted(said) == sorted((str(event.sequence), event.id) for event in ledger.events())


def test_a_killed_writer_that_held_the_lock_blocks_nobody(place):
    open_ledger(place, create=True).close()

    def hold(say):
        with open_ledger(place) as ledger, ledger._database.writing():
            say("held")
            time.sleep(60)

    process, reader = child(hold)
    assert os.read(reader, 4) == b"held"
    with open_ledger(place, busy_timeout=0.2) as ledger, pytest.raises(LedgerError, match="locked"):
        ledger.append([Entry("note", {"too": "early"})])
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(reader)
    with open_ledger(place, busy_timeout=5) as ledger:
        ledger.append([Entry("note", {})])
        assert ledger.verify().records == 1


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        reason = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"a small disk cannot be mounted here: {reason}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_acknowledged(small_disk):
    path = small_disk / "ledger.db"
    acknowledged = []

    def fill(ledger):
        for number in range(10_000):
            acknowledged.extend(ledger.append([Entry("note", {"n": number, "text": "x" * 2000})]))

    with open_ledger(path, create=True) as ledger:
        with pytest.raises(LedgerError, match="full") as caught:
            fill(ledger)
        assert caught.value.hint
        assert len(acknowledged) > 20
        assert ledger.verify().records == len(acknowledged)
        with pytest.raises(LedgerError, match="full"):
            ledger.append([Entry("note", {"text": "y" * 100_000})])
    with open_ledger(path) as ledger:
        assert ledger.verify().records == len(acknowledged)
        assert [event.id for event in ledger.events()] == [item.id for item in acknowledged]


def test_blobs_on_a_full_disk_are_whole_or_not_there(small_disk):
    with open_ledger(small_disk / "ledger.db", create=True) as ledger:
        kept = []
        with pytest.raises(LedgerError, match="No space left") as caught:
            fill_with_blobs(ledger, kept)
        assert caught.value.hint
        assert len(kept) > 2
        for number, blob in enumerate(kept):
            assert ledger.blobs.get(blob) == bytes([number]) * 100_000
        assert list((small_disk / "blobs" / "tmp").iterdir()) == []
        assert ledger.verify().records == 0


def fill_with_blobs(ledger, kept):
    for number in range(200):
        kept.append(ledger.blobs.put(bytes([number]) * 100_000, "image/png"))


def test_an_export_and_an_import_on_a_full_disk(small_disk, tmp_path):
    with open_ledger(tmp_path / "ledger.db", create=True) as ledger:
        ledger.append([Entry("note", {"n": number, "text": "x" * 20_000}) for number in range(100)])
        with pytest.raises(LedgerError, match="cannot be written: No space left") as caught:
            ledger.export(small_disk / "file")
        assert caught.value.hint
        assert list(small_disk.iterdir()) == []
        ledger.export(tmp_path / "file")
    with pytest.raises(LedgerError, match="full") as caught:
        import_ledger(tmp_path / "file", small_disk / "ledger.db")
    assert caught.value.hint
    with open_ledger(small_disk / "ledger.db") as ledger:
        assert ledger.verify().records == 0


def test_a_disk_that_is_full_from_the_start(small_disk):
    (small_disk / "filler").write_bytes(b"")
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(LedgerError) as caught:
        open_ledger(small_disk / "ledger.db", create=True)
    assert caught.value.hint
    with pytest.raises(LedgerError, match="No space left"):
        BlobStore(small_disk / "blobs").put(b"x" * 100_000, "text/plain")
    (small_disk / "filler").unlink()
    with open_ledger(small_disk / "ledger.db", create=True) as ledger:
        ledger.append([Entry("note", {})])
        assert ledger.verify().records == 1
