"""Bytes beside the ledger: whole or not at all, and never other than they were."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import LedgerError
from heliotrope.core.evidence import Blob
from heliotrope.core.records import sha256_hex
from heliotrope.ledger.blobs import BlobStore


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


@given(data=st.binary(max_size=5000))
def test_what_goes_in_comes_out(tmp_path_factory, data):
    store = BlobStore(tmp_path_factory.getbasetemp() / "shared-blobs")
    blob = store.put(data, "application/octet-stream")
    assert blob == Blob(sha256=sha256_hex(data), size=len(data), media_type="application/octet-stream")
    assert store.get(blob) == store.get(blob.sha256) == data
    assert store.has(blob.sha256)


def test_it_lies_under_its_digest_and_nothing_else_is_left(store, tmp_path):
    blob = store.put(b"picture", "image/png")
    assert store.put(b"picture", "image/png") == blob
    files = [path.relative_to(tmp_path / "blobs") for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert [str(path) for path in files] == [f"sha256/{blob.sha256[:2]}/{blob.sha256}"]


def test_files_are_copied_and_staged_files_taken(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    copied = store.put_file(source, "text/plain")
    assert source.exists()
    adopted = store.adopt(source, "text/plain")
    assert not source.exists()
    assert copied == adopted
    assert len(store.get(adopted)) == 3_000_000


def test_a_writer_that_keeps_a_staged_file_open_changes_nothing(store, tmp_path):
    staged = tmp_path / "staged"
    with staged.open("wb") as file:
        file.write(b"honest")
        file.flush()
        blob = store.adopt(staged, "text/plain")
        file.seek(0)
        file.write(b"forged")
    assert store.get(blob) == b"honest"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing", "device"])
def test_only_regular_files_are_taken(store, tmp_path, kind):
    path = tmp_path / "staged"
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        path.symlink_to("secret")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = type(path)("/dev/zero")
    with pytest.raises(LedgerError) as caught:
        store.adopt(path, "text/plain")
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"other", b"picturE", b"", b"picture and more"])
def test_a_changed_blob_is_refused_by_name_and_healed_by_putting_it_again(store, data):
    blob = store.put(b"picture", "image/png")
    store.path(blob.sha256).write_bytes(data)
    for reference in (blob, blob.sha256):
        with pytest.raises(LedgerError, match=f"{blob.sha256}.*changed"):
            store.get(reference)
    store.put(b"picture", "image/png")
    assert store.get(blob) == b"picture"


def test_a_blob_of_another_size_than_recorded(store):
    blob = store.put(b"picture", "image/png")
    with pytest.raises(LedgerError, match="changed"):
        store.get(Blob(sha256=blob.sha256, size=8, media_type="image/png"))


def test_a_missing_blob(store):
    with pytest.raises(LedgerError, match=f"{'0' * 64} is missing"):
        store.get("0" * 64)
    assert not store.has("0" * 64)


def test_a_folder_in_place_of_a_blob(store):
    store.path("0" * 64).mkdir(parents=True)
    with pytest.raises(LedgerError, match="cannot be read"):
        store.get("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_names_no_file(store, digest):
    with pytest.raises(LedgerError, match="not the digest"):
        store.get(digest)


def test_the_limit_holds_for_staged_files_and_leaves_nothing_behind(tmp_path):
    store = BlobStore(tmp_path / "blobs", limit=1000)
    (tmp_path / "large").write_bytes(b"x" * 1001)
    with pytest.raises(LedgerError, match="more than 1000 bytes"):
        store.adopt(tmp_path / "large", "text/plain")
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert store.put(b"x" * 1000, "text/plain").size == 1000


def test_what_dead_writers_left_is_swept_and_what_live_ones_write_is_not(tmp_path):
    folder = tmp_path / "blobs" / "tmp"
    folder.mkdir(parents=True)
    old, new = folder / "old", folder / "new"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    store = BlobStore(tmp_path / "blobs")
    store.put(b"x", "text/plain")
    store.put(b"y", "text/plain")
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "blobs").write_text("")
    with pytest.raises(LedgerError, match="cannot be read or written") as caught:
        BlobStore(tmp_path / "blobs").put(b"x", "text/plain")
    assert caught.value.hint


def _put(root, number):
    return BlobStore(root).put(b"shared" if number % 2 else str(number).encode(), "text/plain")


def test_concurrent_writers(tmp_path):
    root = tmp_path / "blobs"
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        blobs = list(pool.map(_put, [root] * 60, range(60)))
    store = BlobStore(root)
    assert all(store.get(blob) for blob in blobs)
    assert len({blob.sha256 for blob in blobs}) == 31
