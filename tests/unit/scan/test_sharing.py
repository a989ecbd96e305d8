"""Results are the same from several processes and from the cache, and nobody but this user can put any there."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, onnx_model, onnx_tensor

from heliotrope.core.predicates.scan import ScanDocument
from heliotrope.scan import ScanLimits, caching, parallel, scan_paths
from heliotrope.scan._service import scan_tool
from heliotrope.scan.caching import ResultCache
from heliotrope.scan.parallel import worthwhile_jobs

PAYLOAD = b"\x80\x04" + SYSTEM + b"."


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.pkl").write_bytes(PAYLOAD if number % 2 else b"\x80\x04N.")
    (folder / "readme.txt").write_text("nothing")
    (folder / "evil\n\x1b[31m.pkl").write_bytes(PAYLOAD)
    old = time.time() - 60
    for path in folder.iterdir():
        os.utime(path, (old, old))
    return folder


def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a file changes when it is made; tests cannot wait for that to be long ago."""
    monkeypatch.setattr("heliotrope.scan.inspecting._SETTLED_NS", 0)


def cached(folder: Path, store: Path, limits: ScanLimits | None = None) -> ScanDocument:
    with ResultCache(scan_tool(), limits or ScanLimits(), store) as cache:
        return scan_paths([folder], cache=cache, limits=limits)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    return folder


def test_several_processes_say_what_one_says(models: Path) -> None:
    steps: list[float] = []
    shared = scan_paths([models], jobs=3, progress=lambda done, _total, _name: steps.append(done))
    assert shared == scan_paths([models])
    assert steps == sorted(steps)


def test_a_worker_that_dies_takes_one_file_with_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = parallel._hand
    killed = []

    def hand(worker, item):
        if item.path.endswith("3.pkl"):
            worker.has = item
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
            return
        sent(worker, item)

    monkeypatch.setattr(parallel, "_hand", hand)
    reports = {Path(report.path).name: report for report in scan_paths([models], jobs=2).files}
    assert killed
    assert reports["3.pkl"].verdict == "incomplete"
    assert "SIGKILL" in reports["3.pkl"].incomplete[0].reason
    assert reports["1.pkl"].verdict == reports["5.pkl"].verdict == "malicious"


def test_an_interrupt_leaves_no_worker(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    begin = parallel._start

    def start():
        started.append(begin())
        return started[-1]

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        scan_paths([models], jobs=2, progress=lambda done, *_: stop() if done else None)
    assert started
    assert all(process.poll() is not None for process in started)


def test_processes_are_started_where_they_pay() -> None:
    assert worthwhile_jobs([1000] * 500) == 1
    assert worthwhile_jobs([10 * 2**30]) == 1
    assert worthwhile_jobs([]) == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert worthwhile_jobs([10 * 2**30] * 8) > 1


def test_a_second_scan_says_the_same_and_reads_nothing(models, store, monkeypatch):
    aged(monkeypatch)
    first = cached(models, store)
    assert first == scan_paths([models])
    monkeypatch.setattr("heliotrope.scan.inspecting.analyse", lambda *_: pytest.fail("inspected again"))
    (models / "readme.txt").unlink()
    assert cached(models, store).files == first.files


def test_a_renamed_folder_has_fingerprints_of_its_own(models, store, monkeypatch):
    aged(monkeypatch)
    cached(models, store)
    moved = models.rename(models.parent / "moved")
    assert cached(moved, store) == scan_paths([moved])


def test_other_bytes_another_name_and_other_limits_are_looked_at_anew(models, store, monkeypatch):
    aged(monkeypatch)
    cached(models, store)
    (models / "0.pkl").write_bytes(PAYLOAD)
    assert cached(models, store) == scan_paths([models])
    limits = ScanLimits(max_opcodes=2)
    assert cached(models, store, limits) == scan_paths([models], limits=limits)
    (models / "0.pkl").rename(models / "0.safetensors")
    assert cached(models, store) == scan_paths([models])


def clean_result(store: Path) -> tuple[bytes, bytes]:
    with sqlite3.connect(store / "results-v1.db") as database:
        rows = database.execute("SELECT body, seal FROM entries").fetchall()
    return next(row for row in rows if b'"verdict": "clean"' in row[0])


def test_a_planted_or_altered_entry_is_not_believed(models, store, monkeypatch):
    aged(monkeypatch)
    truth = cached(models, store)
    clean, seal = clean_result(store)
    body = json.loads(clean)
    with sqlite3.connect(store / "results-v1.db") as database:
        for name, old in database.execute("SELECT name, body FROM entries").fetchall():
            if b'"malicious"' not in old:
                continue
            body["report"]["sha256"] = json.loads(old)["report"]["sha256"]
            database.execute(
                "UPDATE entries SET body = ?, seal = ? WHERE name = ?", (json.dumps(body).encode(), seal, name)
            )
    assert cached(models, store) == truth


def test_a_sealed_entry_does_not_speak_for_another(models, store, monkeypatch):
    aged(monkeypatch)
    truth = cached(models, store)
    clean, seal = clean_result(store)
    with sqlite3.connect(store / "results-v1.db") as database:
        database.execute("UPDATE entries SET body = ?, seal = ?", (clean, seal))
    assert cached(models, store) == truth


@pytest.mark.parametrize("damage", ["rubbish", "empty", "schema", "trigger", "half"])
def test_a_damaged_store_is_begun_anew(damage, models, store, monkeypatch):
    aged(monkeypatch)
    truth = cached(models, store)
    path = store / "results-v1.db"
    if damage == "schema":
        path.unlink()
        sqlite3.connect(path).execute("CREATE TABLE entries (x)").connection.close()
    elif damage == "trigger":
        with sqlite3.connect(path) as database:
            database.execute("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END")
    else:
        data = path.read_bytes()
        path.write_bytes(
            {"rubbish": b"x" * 5000, "empty": b"", "half": data[:4096] + b"\xff" * (len(data) - 4096)}[damage]
        )
    path.chmod(0o600)
    assert cached(models, store) == truth
    assert cached(models, store) == truth
    assert (store / "seal.key").stat().st_mode & 0o777 == 0o600


def test_a_key_or_store_that_others_may_write_is_not_used(models, store, monkeypatch):
    aged(monkeypatch)
    cached(models, store)
    key = (store / "seal.key").read_bytes()
    (store / "seal.key").chmod(0o644)
    cached(models, store)
    assert (store / "seal.key").read_bytes() != key
    store.chmod(0o777)
    (store / "results-v1.db").unlink()
    assert cached(models, store) == scan_paths([models])
    assert not (store / "results-v1.db").exists()


def test_writers_at_once_do_not_harm_each_other(models, store):
    truth = scan_paths([models])
    found = []
    threads = [threading.Thread(target=lambda: found.append(cached(models, store) == truth)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


def test_the_store_stays_small(models, store, monkeypatch):
    monkeypatch.setattr(caching, "_MAX_ENTRIES", 4)
    cached(models, store)
    with sqlite3.connect(store / "results-v1.db") as database:
        assert database.execute("SELECT COUNT(*) FROM entries").fetchone()[0] <= 4


def test_a_result_that_rests_on_other_files_is_not_kept(tmp_path, store, monkeypatch):
    aged(monkeypatch)
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(onnx_model(tensors=(onnx_tensor(location="w.bin"),)))
    before = cached(folder, store)
    (folder / "w.bin").write_bytes(bytes(64))
    assert cached(folder, store) == scan_paths([folder])
    assert cached(folder, store) != before


def test_a_script_that_scans_with_workers_is_not_run_again(models, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"print('once')\nfrom heliotrope.api import scan\nprint(scan({str(models)!r}, jobs=2).verdict)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["once", "malicious"]
