"""Latency and size, with units; no verdict."""

import time

import pytest
from tests.opened import Data, Model, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")

CHECK = "quality.cost"


@pytest.fixture
def timed(tmp_path):
    def run(function=None, n=300, **fields):
        frame = pd.DataFrame({"x": np.zeros(n)})
        model = Model(function or (lambda table: np.tile([0.4, 0.6], (len(table), 1))), ("a", "b"))
        opened = subject(model, Data(frame, np.zeros(n, int), columns_of(frame)), **fields)
        (tmp_path / "model.skops").write_bytes(b"x" * 2**20)
        object.__setattr__(opened, "task", opened.task.model_copy(update={"root": str(tmp_path)}))
        return (*run_check(CHECK, opened, tmp_path)[:2], model)

    return run


def test_single_rows_and_batches_are_timed_and_the_file_is_weighed(timed):
    result, predicate, _ = timed()
    assert result.outcome.state == "passed"
    assert result.findings == ()
    assert [one["batch"] for one in predicate["latencies"]] == [1, 256]
    for one in predicate["latencies"]:
        assert 0 < one["median_seconds"] <= one["p95_seconds"]
        assert one["cpu_seconds"] >= 0
    measured = {item.metric: item for item in result.measurements}
    assert set(measured) == {
        "latency_single_median", "latency_single_p95", "latency_batch_median", "latency_batch_p95", "model_size",
    }  # fmt: skip
    assert {item.unit for item in measured.values()} == {"ms", "KiB"}
    assert {item.direction for item in measured.values()} == {"lower"}
    assert measured["model_size"].value == 1024
    assert measured["latency_single_median"].value > measured["latency_batch_median"].value


def test_a_slow_model_is_asked_less_often(timed, monkeypatch):
    monkeypatch.setattr("heliotrope.quality.cost._SECONDS", 0.1)

    def slow(table):
        time.sleep(0.03)
        return np.tile([0.4, 0.6], (len(table), 1))

    _, predicate, model = timed(slow)
    assert all(one["repetitions"] == 5 for one in predicate["latencies"])
    assert predicate["latencies"][0]["median_seconds"] == pytest.approx(0.03, rel=0.8)
    assert model.calls == 16


def test_an_endpoint_has_no_file_and_its_processor_time_is_elsewhere(timed):
    endpoint = {"url": "http://127.0.0.1:1/", "protocol": "json", "batch": 64}
    result, predicate, model = timed(endpoint=endpoint, path=None, format="endpoint")
    assert predicate["size_bytes"] is None
    assert [one["batch"] for one in predicate["latencies"]] == [1, 64]
    assert all(one["cpu_seconds"] is None for one in predicate["latencies"])
    assert model.calls <= 42
    assert "model_size" not in {item.metric for item in result.measurements}


def test_a_single_row_of_data_is_timed_once(timed):
    _, predicate, _ = timed(n=1)
    assert [one["batch"] for one in predicate["latencies"]] == [1]
