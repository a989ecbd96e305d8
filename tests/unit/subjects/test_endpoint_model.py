"""What an endpoint does wrong is an error that says so; how it is asked is paced, counted and allowed."""

import datetime as dt
import json
import time
import urllib.request

import pytest

np = pytest.importorskip("numpy", reason="needs the extra 'endpoint'")
pd = pytest.importorskip("pandas", reason="needs the extra 'endpoint'")
pytest.importorskip("urllib3", reason="needs the extra 'endpoint'")

from tests.contract.conftest import server  # noqa: E402, F401 - the same real process

from heliotrope.config.schema import EndpointConfig, ModelConfig  # noqa: E402
from heliotrope.core.errors import InputError  # noqa: E402
from heliotrope.subjects import _http  # noqa: E402
from heliotrope.subjects._http import HttpClient, require_authorised  # noqa: E402
from heliotrope.subjects.endpoint_model import open_model  # noqa: E402


@pytest.fixture
def ask(server, tmp_path):  # noqa: F811
    base, frame, _ = server

    def run(path, *, protocol="json", output="probabilities", labels=None, inputs=frame, **fields):
        fields = {"rate": 10_000, "retries": 1, "timeout": 5, "response": "result.scores", **fields}
        endpoint = EndpointConfig(url=base + path, protocol=protocol, **fields)
        model = ModelConfig(name="m", endpoint=endpoint, output=output, labels=labels)
        return open_model(model, root=tmp_path, probe=inputs[:4], columns=(), seed=0, expected={})

    return run


def fetch(server, path):  # noqa: F811
    with urllib.request.urlopen(server[0] + path) as response:
        return json.load(response)


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ("garbage", "no JSON"),
        ("closes", "no answer after 2 attempts"),
        ("unavailable", "status 503"),
        ("redirects", "elsewhere"),
        ("wrong-shape", "3 predictions for 4 rows"),
        ("no-distribution", "sums to"),
        ("nan", "NaN"),
        ("labels", "labels, not with scores"),
        ("forbidden", "401"),
    ],
)
def test_a_fault_of_the_server_is_said(ask, fault, match):
    with pytest.raises(InputError, match=match) as caught:
        ask(f"/fault/{fault}/predict")
    assert caught.value.hint


def test_no_answer_in_time_is_no_answer(ask):
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer within 0\.3 s"):
        ask("/fault/slow/predict", timeout=0.3, retries=0)
    assert time.monotonic() - started < 2.5


def test_an_endless_answer_is_not_kept(ask, monkeypatch):
    monkeypatch.setattr(_http, "MAX_RESPONSE_BYTES", 2**20)
    with pytest.raises(InputError, match="more than 1048576 bytes"):
        ask("/fault/huge/predict")


def test_a_server_that_was_starting_is_asked_again(ask, server):  # noqa: F811
    model = ask("/fault/unavailable-once/predict")
    assert np.allclose(model.scores(server[1]), server[2])


def test_retry_after_is_heeded(server):  # noqa: F811
    waited = []
    endpoint = EndpointConfig(url=server[0] + "/fault/busy-once/predict", protocol="json", rate=10_000)
    client = HttpClient(endpoint, sleep=waited.append)
    client.post(b'{"instances": [[1, 2, 3]]}')
    assert [pause for pause in waited if pause > 1] == [7.0]


def test_the_budget_is_never_overspent(ask, server):  # noqa: F811
    before = fetch(server, "/count")["count"]
    model = ask("/predict", budget=3, batch=20)
    with pytest.raises(InputError, match="more than 3 times") as caught:
        model.scores(pd.concat([server[1]] * 2))
    assert "endpoint.budget" in caught.value.hint
    assert fetch(server, "/count")["count"] - before == 3


def test_the_rate_is_kept(ask, server):  # noqa: F811
    model = ask("/predict", rate=20, batch=4)
    started = time.monotonic()
    model.scores(server[1][:20])
    assert time.monotonic() - started >= 4 / 20


def test_a_token_comes_from_the_environment_and_is_shown_nowhere(ask, server, monkeypatch):  # noqa: F811
    with pytest.raises(InputError, match="THE_TOKEN") as caught:
        ask("/predict", token_env="THE_TOKEN")
    monkeypatch.setenv("THE_TOKEN", "hunter2")
    model = ask("/predict", token_env="THE_TOKEN")
    assert fetch(server, "/seen")["Authorization"] == "Bearer hunter2"
    assert "hunter2" not in repr(model)
    with pytest.raises(InputError) as caught:
        ask("/fault/forbidden/predict", token_env="THE_TOKEN")
    assert "hunter2" not in caught.value.reason()


def test_proxies_of_the_environment_are_not_used(ask, server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert np.allclose(ask("/predict").scores(server[1]), server[2])


def test_labels_alone_are_one_hot(ask, server):  # noqa: F811
    model = ask("/fault/labels/predict", output="labels", labels=("a", "b", "c"))
    assert (model.scores(server[1]).argmax(1) == server[2].argmax(1)).all()
    assert model.output == "labels"


def test_missing_numbers_never_become_a_request_that_lies(ask, server):  # noqa: F811
    frame = server[1].copy()
    frame.loc[0, "a"] = np.nan
    model = ask("/v2/models/single/infer", protocol="kserve-v2")
    with pytest.raises(InputError, match="missing"):
        model.scores(frame)


@pytest.mark.parametrize("host", ["192.0.2.7", "[2001:db8::1]", "[::ffff:192.0.2.7]", "0.0.0.0"])
def test_another_machine_needs_permission(host):
    endpoint = EndpointConfig(url=f"http://{host}:9/predict", protocol="json")
    with pytest.raises(InputError, match="another machine") as caught:
        require_authorised(endpoint)
    assert "authorised_by" in caught.value.hint
    named = endpoint.model_copy(update={"authorised_by": "the owner"})
    with pytest.raises(InputError, match="another machine"):
        require_authorised(named)
    allowed = named.model_copy(update={"authorised_until": "2026-11-24"})
    require_authorised(allowed, today=dt.date(2026, 11, 24))
    with pytest.raises(InputError, match="ended on 2026-11-24"):
        require_authorised(allowed, today=dt.date(2026, 11, 25))
    with pytest.raises(InputError, match="no day"):
        require_authorised(named.model_copy(update={"authorised_until": "2026-13-41"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "[::ffff:127.0.0.1]"])
def test_this_machine_needs_none(host):
    require_authorised(EndpointConfig(url=f"http://{host}:9/predict", protocol="json"))
