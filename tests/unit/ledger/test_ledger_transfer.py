"""A whole ledger in one file and out of it again, on either database: same id, same head; no forged file passes."""

import random
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.ledger.forgery import entry, fill, forging
from tests.unit.ledger.test_ledger_append import BATCHES

from heliotrope.core.errors import LedgerError
from heliotrope.core.records import canonical_bytes, sha256_hex
from heliotrope.ledger import Entry, LedgerTampered, import_ledger, open_ledger
from heliotrope.ledger._transfer import MAX_HEADER_BYTES
from heliotrope.ledger.interface import MAX_CONTENT_BYTES, Retention
from heliotrope.ledger.ownership import require_own

settings.load_profile("ledger")


def contents_of(place):
    with open_ledger(place) as ledger:
        ledger.verify()
        return ledger.id, ledger.head(), [(event.document(), body(ledger, event)) for event in ledger.events()]


def body(ledger, event):
    try:
        return ledger.content(event.content_id)
    except LedgerError:
        return None


def export(place, file, **options):
    with open_ledger(place) as ledger:
        return ledger.export(file, **options)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES, prune=st.booleans())
def test_from_file_to_server_to_file(postgres_server, tmp_path_factory, batches, prune):
    folder = tmp_path_factory.mktemp("transfer")
    first, server, last = folder / "first.db", postgres_server.new_url(), folder / "last.db"
    with open_ledger(first, create=True) as ledger:
        for batch in batches:
            ledger.append([Entry(kind, content, tuple(keys)) for kind, content, keys in batch])
        if prune:
            horizon = ledger.head().sequence
            retention = Retention(by="a test", keep_days=0, older_than="2026-01-01T00:00:00.000Z", horizon=horizon)
            ledger.prune(retention, [event.content_id for event in ledger.events() if event.sequence % 2])
    before = contents_of(first)
    exported = export(first, folder / "one")
    assert import_ledger(folder / "one", server).verified == exported.verified
    assert contents_of(server) == before
    again = export(server, folder / "two")
    assert (folder / "two").read_bytes() == (folder / "one").read_bytes()
    assert again.digest == exported.digest
    import_ledger(folder / "two", last)
    assert contents_of(last) == before


def test_the_last_line_is_the_digest_of_all_before(place, tmp_path):
    fill(place)
    exported = export(place, tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    before, _, end = data[:-1].rpartition(b"\n")
    assert end == f"end {exported.digest}".encode()
    assert sha256_hex(before + b"\n") == exported.digest


def test_an_import_continues_where_the_export_ended(new_place, tmp_path):
    first, second = new_place(), new_place()
    head = fill(first)
    export(first, tmp_path / "file")
    assert import_ledger(tmp_path / "file", second).verified.head == head
    with open_ledger(second, create=True) as ledger:
        assert ledger.remembered_head() == head
        ledger.append([entry(11)])
        assert ledger.verify(head).records == 11
        assert ledger.latest("note", "subject", "urn:1").sequence == 10


def test_what_was_imported_is_ones_own_and_the_original_is_not_any_more(path, tmp_path):
    fill(path)
    export(path, tmp_path / "file")
    import_ledger(tmp_path / "file", tmp_path / "new.db")
    require_own(tmp_path / "new.db")
    with pytest.raises(LedgerError, match="copy of"):
        require_own(path)


def test_blobs_travel_if_asked(new_place, tmp_path):
    first, second, third = new_place(), new_place(), new_place()
    with open_ledger(first, create=True) as ledger:
        blobs = [ledger.blobs.put(bytes([number]) * 1_500_000, "image/png") for number in range(3)]
        unnamed = ledger.blobs.put(b"of somebody else", "image/png")
        missing = {"sha256": "0" * 64}
        ledger.append([Entry("run", {"blobs": [blob.document() for blob in blobs] + [missing]})])
        exported = ledger.export(tmp_path / "with", blobs=True)
        assert (exported.blobs, exported.missing_blobs) == (3, 1)
        assert ledger.export(tmp_path / "without").blobs == 0
    if not isinstance(first, str):
        (tmp_path / "elsewhere").mkdir()
        second = tmp_path / "elsewhere" / "ledger.db"
    assert import_ledger(tmp_path / "with", second).blobs == 3
    with open_ledger(second) as ledger:
        for number, blob in enumerate(blobs):
            assert ledger.blobs.get(blob) == bytes([number]) * 1_500_000
        assert not ledger.blobs.has(unnamed.sha256)
    assert import_ledger(tmp_path / "without", third).blobs == 0


def test_a_ledger_with_records_takes_no_import(new_place, tmp_path):
    first, second = new_place(), new_place()
    fill(first)
    head = fill(second, 2)
    export(first, tmp_path / "file")
    with pytest.raises(LedgerError, match="holds records already") as caught:
        import_ledger(tmp_path / "file", second)
    assert caught.value.hint
    with open_ledger(second) as ledger:
        assert ledger.head() == head


def test_an_empty_ledger_becomes_the_imported_one(new_place, tmp_path):
    first, second = new_place(), new_place()
    fill(first)
    export(first, tmp_path / "file")
    open_ledger(second, create=True).close()
    import_ledger(tmp_path / "file", second)
    assert contents_of(second) == contents_of(first)


def test_a_ledger_that_does_not_hold_is_not_exported(place, tmp_path):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE events SET kind = 'evidence' WHERE sequence = 4")
    with pytest.raises(LedgerTampered):
        export(place, tmp_path / "file")
    assert [item.name for item in tmp_path.iterdir() if "file" in item.name] == []


def test_a_file_is_replaced_whole_or_not_at_all(path, tmp_path):
    fill(path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(LedgerError, match="cannot be written") as caught:
        export(path, tmp_path / "none" / "file")
    assert caught.value.hint
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="cannot be written"):
        export(path, tmp_path / "folder")
    export(path, tmp_path / "file")
    assert (tmp_path / "file").read_bytes().startswith(b"heliotrope-ledger-export/1\n")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*part"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export with contents, a removed content and blobs; the folder it is in."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELIOTROPE_STATE_HOME", str(folder / "state"))
        with open_ledger(folder / "ledger.db", create=True) as ledger:
            blob = ledger.blobs.put(b"picture", "image/png")
            ledger.append([entry(1), entry(2), Entry("run", {"blobs": [blob.document()]}), entry(1), entry(5)])
            retention = Retention(by="a test", keep_days=0, older_than="2026-01-01T00:00:00.000Z", horizon=5)
            ledger.prune(retention, [next(ledger.events(1)).content_id])
            ledger.export(folder / "file", blobs=True)
    return folder / "file"


def refused(data, tmp_path, match="cannot be imported"):
    file, place = tmp_path / "forged", tmp_path / f"ledger-{random.getrandbits(60)}.db"
    file.write_bytes(data)
    with pytest.raises(LedgerError, match=match) as caught:
        import_ledger(file, place)
    assert caught.value.hint
    if place.exists():
        with open_ledger(place) as ledger:
            assert ledger.verify().records == 0
    return caught.value


@settings(max_examples=60)
@given(offset=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_no_byte_can_be_changed(exported, tmp_path, offset, flip):
    data = bytearray(exported.read_bytes())
    data[offset % len(data)] ^= flip
    refused(bytes(data), tmp_path)


@settings(max_examples=40)
@given(length=st.integers(0, 10**6))
def test_no_end_can_be_cut_off(exported, tmp_path, length):
    data = exported.read_bytes()
    refused(data[: length % len(data)], tmp_path)


def resealed(data):
    """The file with its last line put right: what a forger does who knows the format."""
    before = data[: data.rindex(b"\nend ") + 1]
    return before + f"end {sha256_hex(before)}\n".encode()


def frames_of(data):
    """The frames of an export, as bytes, without first two and last lines."""
    first = data.index(b"\n", data.index(b"\n") + 1) + 1
    found, position = [], first
    while not data.startswith(b"end ", position):
        line_end = data.index(b"\n", position)
        size = int(data[position:line_end].split()[-1])
        found.append(data[position : line_end + 1 + size + 1])
        position = line_end + 1 + size + 1
    return data[:first], found


@settings(max_examples=60)
@given(drawn=st.data())
def test_no_frame_can_be_left_out_moved_or_doubled(exported, tmp_path, drawn):
    data = exported.read_bytes()
    head, frames = frames_of(data)
    act = drawn.draw(st.sampled_from(["drop", "swap", "double", "cut"]))
    at = drawn.draw(st.integers(0, len(frames) - 1))
    forged = list(frames)
    if act == "drop":
        del forged[at]
    elif act == "swap":
        other = drawn.draw(st.integers(0, len(frames) - 1))
        forged[at], forged[other] = forged[other], forged[at]
    elif act == "double":
        forged.insert(at, forged[at])
    else:
        forged = forged[:at]
    if forged == frames or (act in ("drop", "cut") and all(f[:5] == b"blob " for f in set(frames) - set(forged))):
        return  # blobs are an extra: a file that has none of them holds a whole ledger
    if act == "double" and frames[at].startswith(b"blob "):
        return  # the same bytes under the same name, twice
    refused(resealed(head + b"".join(forged) + b"end \n"), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"heliotrope-ledger-export/1", b"heliotrope-ledger-export/2", "at byte 0.*does not begin"),
        (b'"number":5', b'"number":6', "content of record 5 does not have the digest"),
        (b'"kind":"run"', b'"kind":"rum"', "record 3"),
        (b"event 4 ", b"event 7 ", "record 4 was expected"),
        (b'"blobs":true', b'"blobs":false', "announces none"),
        (b'"head":"6:', b'"head":"5:', "does not verify|announces"),
        (b'"head":"6:', b'"head":"7:', "does not verify"),
        (b'"head":"6:', b'"head":"x:', "names no head"),
        (b'"id":"', b'"id":"x', "record 1"),
        (b"ledger {", b"ledger [", "names no ledger"),
        (b"picture", b"PICTURE", "digest of its name"),
    ],
)
def test_a_forger_who_puts_the_digest_right_is_told_the_place(exported, tmp_path, old, new, match):
    data = exported.read_bytes()
    assert old in data
    refused(resealed(data.replace(old, new, 1)), tmp_path, match)


@pytest.mark.parametrize(
    ("rest", "match"),
    [
        (b"x" * 10_000_000, "longer than any"),
        (b"content " + b"0" * 64 + b" 99999999999\nx", f"at most {MAX_CONTENT_BYTES}"),
        (b"content " + b"0" * 64 + b" " + b"9" * (MAX_HEADER_BYTES + 5), "longer than any"),
        (b"content " + b"0" * 64 + b" 007\n{}", "none of an export"),
        (b"event 1 " + b"0" * 64 + b" 67108865\n", "at most"),
        (b"blob " + b"0" * 64 + b" 1073741825\n", "at most"),
        (b"content " + b"0" * 64 + b" 20000000\nabc", "cut off"),
        (b"event 1 " + b"0" * 64 + b" 2\n[]\n", "not written as a ledger writes it"),
        (b"event 1 " + b"0" * 64 + b" 400000\n" + b"[" * 400_000 + b"\n", "not written as a ledger writes it"),
        (b"\xff\xfe\n", "no ASCII"),
        (b"", "cut off"),
        (b"end " + b"0" * 64 + b"\n", "digest of all before"),
    ],
    ids=range(12),
)
def test_hostile_files_are_bounded(tmp_path, rest, match):
    head = b'heliotrope-ledger-export/1\nledger {"blobs":true,"head":"0:%s","id":"x"}\n' % (
        b"bcfcae5dc95193298249e91a003230576fd17aff0a62c1bc213f8a04a573773a"
    )
    refused(head + rest, tmp_path, match)


def test_something_after_the_end(exported, tmp_path):
    refused(exported.read_bytes() + b"more", tmp_path, "follows the end")


def test_a_content_nested_without_end_is_only_bytes(new_place, tmp_path):
    """Contents are never parsed on the way."""
    place = new_place()
    with open_ledger(place, create=True) as ledger:
        deep = {}
        for _ in range(60):
            deep = {"a": deep}
        ledger.append([Entry("note", deep)])
        assert ledger.export(tmp_path / "file").verified.records == 1
    other = new_place()
    import_ledger(tmp_path / "file", other)
    with open_ledger(other) as ledger:
        assert ledger.content(next(ledger.events()).content_id) == canonical_bytes(deep)


def test_files_that_are_none(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for name, match in (("none", "No such file"), ("pipe", "no regular file"), (".", "no regular file|directory")):
        with pytest.raises(LedgerError, match=match):
            import_ledger(tmp_path / name, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


STREAM = """
    import resource, sys
    from pathlib import Path
    from heliotrope.ledger import Entry, import_ledger, open_ledger

    folder = Path(sys.argv[1])
    with open_ledger(folder / "big.db", create=True) as ledger:
        for batch in range(int(sys.argv[2])):
            ledger.append([Entry("note", {"n": [batch, number], "text": "x" * 200_000}) for number in range(5)])
        exported = ledger.export(folder / "file")
    imported = import_ledger(folder / "file", sys.argv[3])
    assert imported.verified == exported.verified
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_ledger(new_place, tmp_path):
    """40 MB through both directions take no more than 5 MB do."""
    peaks = []
    for batches in (5, 40):
        folder = tmp_path / str(batches)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(STREAM), folder, str(batches), str(new_place())],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] - peaks[0] < 20, peaks
