"""A boundary attack that sees classes alone: closed forms, equal results however it is run, and hosts that stop answering."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.opened import Context as PlainContext

from heliotrope.attack.decision.hopskipjump import HopSkipJump
from heliotrope.attack.search.searching import SearchTarget
from heliotrope.attack.search.space import array_space
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import InputError
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Project, Task
from heliotrope.engine.registry import find_check

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")

CHECK = "evasion.boundary"
WEIGHTS = np.random.default_rng(5).standard_normal((3, 16))


def labels_alone(inputs):
    """A linear model that names its class and nothing else."""
    return np.eye(3)[((inputs.reshape(len(inputs), -1).astype(np.float64) - 0.5) @ WEIGHTS.T).argmax(axis=1)]


def target_of(threat, *, n=20, batch=256, scores=labels_alone, some=None):
    inputs = (0.3 + 0.4 * np.random.default_rng(0).random((n, 1, 4, 4))).astype(np.float32)
    labels, rows = labels_alone(inputs).argmax(axis=1), np.arange(n)
    if some is not None:
        inputs, labels, rows = inputs[some], labels[some], rows[some]
    return SearchTarget(scores, array_space(inputs, threat), labels, rows, batch, 3)


def exact_distances(target, dual):
    """Of a linear model, without the range: margin over the dual norm of the difference of weights, the smallest."""
    centres = target.space.centres.astype(np.float64) - 0.5
    out = np.full(len(centres), np.inf)
    for position, label in enumerate(target.labels):
        for other in range(3):
            if other != label:
                way = WEIGHTS[label] - WEIGHTS[other]
                out[position] = min(out[position], float(centres[position] @ way) / np.linalg.norm(way, dual))
    return out


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_the_distance_of_a_linear_model_is_nearly_the_closed_form(threat, norm, dual):
    target = target_of(threat(norm))
    state = HopSkipJump(1500)(target, threat(norm), seed=0)
    exact = exact_distances(target, dual)
    assert (state.reach >= exact * (1 - 1e-5)).all()
    assert float(np.median(state.reach / exact)) < 1.05
    assert bool((labels_alone(state.best).argmax(axis=1) != target.labels).all())
    assert np.allclose(target.space.lengths(np.arange(20), state.best), state.reach)
    assert state.best.min() >= 0
    assert state.best.max() <= 1
    assert state.asked.max() <= 1500
    assert target.asked == state.asked.sum()


def test_neither_batch_nor_a_stop_changes_the_result(threat):
    whole = HopSkipJump(400)(target_of(threat()), threat(), seed=3)
    parts = HopSkipJump(400)(target_of(threat(), batch=7), threat(), seed=3)
    assert np.array_equal(whole.best, parts.best)
    seen = []

    def stop(state):
        seen.append(state)
        if state.round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HopSkipJump(400)(target_of(threat()), threat(), seed=3, after=stop)
    again = HopSkipJump(400)(target_of(threat()), threat(), seed=3, state=seen[-1])
    assert np.array_equal(whole.best, again.best)
    assert whole.asked.tolist() == again.asked.tolist()
    other = HopSkipJump(400)(target_of(threat()), threat(), seed=4)
    assert not np.array_equal(whole.best, other.best)


def test_noise_starts_where_no_sample_of_another_class_is_at_hand(threat):
    target = target_of(threat())
    one = (target.labels == target.labels[0]).nonzero()[0]
    state = HopSkipJump(300)(target_of(threat(), some=one), threat(), seed=0)
    assert np.isfinite(state.reach).all()


def test_too_few_questions_are_refused(threat):
    with pytest.raises(InputError, match="do not suffice"):
        HopSkipJump(10)(target_of(threat()), threat(), seed=0)


def indicator(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)


@pytest.mark.torch
def test_a_model_without_gradients_hides_nothing_from_the_boundary(assess):
    """The trap: the class alone, as scores of 0 and 1. PGD is blind; the boundary is where it was."""
    masked = "return torch.nn.functional.one_hot(self.layer(x).argmax(dim=1), 3).float()"
    threat = {"eps": 0.06, "steps": 10, "restarts": 1}
    result, predicate, context = assess(masked, check=CHECK, threat=threat, suite="quick")
    blind, _, _ = assess(masked, threat=threat, suite="quick")
    _, bare, _ = assess("return self.layer(x)", threat=threat, suite="quick", sample=50)
    assert blind.outcome.state == "inconclusive"
    assert result.outcome.state == "passed"
    assert bare["robust_accuracy"] <= predicate["robust_accuracy"] <= bare["robust_accuracy"] + 0.1
    assert indicator(predicate, "perturbations")["state"] == "ok"
    stored = np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]), allow_pickle=False)
    change = np.abs(stored["perturbed"].astype(np.float64) - stored["original"])
    assert change.max() <= 0.06 * (1 + 1e-6)
    accuracies = [entry["accuracy"] for entry in predicate["curve"]]
    assert accuracies == sorted(accuracies, reverse=True)
    metrics = {one.metric: one for one in result.measurements}
    assert metrics["median_smallest_change"].value > 0


@pytest.mark.torch
def test_rounded_scores_are_broken_as_the_unrounded_ones(assess):
    threat = {"eps": 0.06, "steps": 10, "restarts": 1}
    rounded = "return (self.layer(x).softmax(dim=1) * 100).round() / 100"
    _, predicate, _ = assess(rounded, check=CHECK, threat=threat, suite="quick")
    _, bare, _ = assess("return self.layer(x)", threat=threat, suite="quick", sample=50)
    assert abs(predicate["robust_accuracy"] - bare["robust_accuracy"]) <= 0.1


@pytest.mark.torch
def test_a_model_that_names_one_class_is_no_robust_model(assess):
    result, predicate, _ = assess("return self.layer(x) * 0 + torch.tensor([0., 1., 0.])", check=CHECK, labels="own")
    assert result.outcome.state == "inconclusive"
    assert indicator(predicate, "large-eps")["state"] == "failed"


@pytest.mark.torch
def test_answers_at_random_are_told(assess):
    noisy = "return self.layer(x) + torch.randn(len(x), 3)"
    result, predicate, _ = assess(noisy, check=CHECK)
    assert indicator(predicate, "deterministic")["state"] == "failed"
    assert result.outcome.state == "inconclusive"


class Server:
    """A host on this machine that answers with labels, until it has answered so often."""

    def __init__(self):
        owner = self
        self.answers_left, self.count = 10**9, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 2**16

            def log_message(self, *_):
                pass

            def do_POST(self):
                rows = np.array(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"])
                owner.count += 1
                if owner.answers_left <= 0:
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                owner.answers_left -= 1
                classes = labels_alone(rows).argmax(axis=1)
                body = json.dumps({"predictions": [f"c{number}" for number in classes]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/predict"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def ask_host(tmp_path, url, *, unfinished="state", suite="quick", **endpoint):
    """Run the check on 12 images against a host."""
    images = (0.3 + 0.4 * np.random.default_rng(1).random((12, 1, 4, 4))).astype(np.float32)
    np.savez(tmp_path / "test.npz", images=images, labels=labels_alone(images).argmax(axis=1))
    config = HeliotropeConfig.model_validate(
        {
            "version": 1,
            "project": "p",
            "models": [
                {
                    "name": "m",
                    "endpoint": {"url": url, "protocol": "json", "rate": 5000, "retries": 0, **endpoint},
                    "task": "image-classification",
                    "input": {"shape": [1, 4, 4]},
                    "output": "labels",
                    "labels": ["c0", "c1", "c2"],
                    "data": {"evaluate": {"path": "test.npz"}},
                }
            ],
            "threat": {"eps": 0.1},
        }
    )
    check = find_check(CHECK)
    (planned,) = check.plan(Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", suite))
    task = Task(
        check=check.id,
        subject=planned.subject,
        root=str(tmp_path),
        parameters=json.loads(json.dumps(planned.parameters.document())),
        inputs=digest_inputs(planned.inputs),
        seed=0,
        unfinished=str(tmp_path / unfinished),
    )
    return check.function(task, PlainContext(tmp_path))


def test_a_host_that_stops_answering_leaves_a_partial_result_that_goes_on(server, tmp_path):
    whole = ask_host(tmp_path, server.url, unfinished="other")
    assert whole.outcome.state == "passed"
    server.answers_left = 60
    stopped = ask_host(tmp_path, server.url)
    assert (stopped.outcome.state, stopped.outcome.kind) == ("error", "unavailable")
    assert "status 503" in stopped.outcome.reason
    assert "at least" in stopped.outcome.reason
    assert "go on from there" in stopped.outcome.reason
    server.answers_left = 10**9
    before = server.count
    again = ask_host(tmp_path, server.url)
    left = server.count - before
    assert again.outcome == whole.outcome
    assert again.evidence[0].predicate["curve"] == whole.evidence[0].predicate["curve"]
    assert left < before - 61  # the rounds that were done are not asked again


def test_a_budget_takes_fewer_samples_and_says_so(server, tmp_path):
    result = ask_host(tmp_path, server.url, budget=500, batch=10)
    assert "as many samples as endpoint.budget permits, not 12" in result.outcome.reason
    assert server.count <= 500
    with pytest.raises(InputError, match="does not suffice"):
        ask_host(tmp_path, server.url, budget=20, batch=1)


def test_another_machine_is_not_asked_without_permission(tmp_path):
    with pytest.raises(InputError, match="nobody is named"):
        ask_host(tmp_path, "http://192.0.2.1/predict")
    with pytest.raises(InputError, match="ended on 2020-01-31"):
        ask_host(tmp_path, "http://192.0.2.1/predict", authorised_by="owner", authorised_until="2020-01-31")
