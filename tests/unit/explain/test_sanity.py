"""Attributions that survive random parameters are told from those that rest on what was learned."""

import pytest
from tests.opened import Data, Model, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from tests.unit.explain.networks import digits, opened_network, trained  # noqa: E402

CHECK = "explain.sanity"


class FixedFilter(torch.nn.Module):
    """Answers by filters that are no parameters; what is learned is only their scale."""

    def __init__(self):
        super().__init__()
        self.register_buffer("filters", torch.rand(10, 64))
        self.scale = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, batch):
        return torch.nn.functional.linear(batch.flatten(1), self.filters) * self.scale


@pytest.fixture(scope="module")
def held():
    return digits()


@pytest.mark.parametrize("convolutions", [False, True])
def test_the_maps_of_an_honest_network_change_with_its_parameters(held, tmp_path, convolutions):
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    train, (images, answers) = held
    module = trained(*train, convolutions=convolutions)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    opened = opened_network(module, images, answers)
    result, predicate, context = run_check(CHECK, opened, tmp_path)
    assert result.outcome.state == "passed"
    assert (predicate["insensitive"], result.findings) == (False, ())
    assert len(predicate["complete"]) == 3
    assert all(one["interval"]["high"] < predicate["threshold"] for one in predicate["complete"])
    assert [one["layers"] for one in predicate["cascade"]] == list(range(1, predicate["layers"] + 1))
    assert {context.blobs[blob.sha256][:4] for blob in result.blobs} == {b"\x89PNG"}
    for name, value in opened.model.module.state_dict().items():  # the model itself was left alone
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("seed", range(3))
def test_maps_that_are_the_input_times_a_constant_are_found_out(held, tmp_path, seed):
    torch.manual_seed(seed)
    _, (images, answers) = held
    result, predicate, _ = run_check(CHECK, opened_network(FixedFilter(), images, answers, seed=seed), tmp_path)
    assert result.outcome.state == "failed"
    assert predicate["insensitive"] is True
    (found,) = result.findings
    assert (found.rule, found.severity) == ("insensitive-attributions", "low")
    assert "show the input and not the model" in found.message
    assert result.measurements[0].value > 0.99


def test_without_captum_regions_are_compared(held, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "captum.attr", None)
    train, (images, answers) = held
    result, predicate, _ = run_check(CHECK, opened_network(trained(*train), images, answers), tmp_path)
    assert predicate["method"] == "occlusion"
    assert result.outcome.state == "passed"


def test_models_without_parameters_that_can_be_drawn_are_none_of_its_objects(held, tmp_path):
    _, (images, answers) = held
    other = subject(Model(lambda batch: batch.reshape(len(batch), -1)[:, :2], ("a", "b"), format="onnx"),
                    Data(images, answers), path="m.onnx", format="onnx", task="image-classification")  # fmt: skip
    outcome = run_check(CHECK, other, tmp_path)[0].outcome
    assert (outcome.state, outcome.facts) == ("not_applicable", ("format is onnx",))
    bare = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    assert run_check(CHECK, opened_network(bare, images, answers % 4), tmp_path)[0].outcome.state == "not_applicable"


def test_too_few_samples_and_maps_without_order_give_no_verdict(held, tmp_path):
    _, (images, answers) = held
    few = opened_network(FixedFilter(), images[:20], answers[:20])
    assert run_check(CHECK, few, tmp_path)[0].outcome.state == "inconclusive"
    blank = opened_network(FixedFilter(), np.zeros_like(images), answers)
    result, predicate, _ = run_check(CHECK, blank, tmp_path)
    assert (result.outcome.state, predicate["insensitive"]) == ("inconclusive", None)
    assert result.measurements[0].value is None


def test_a_network_that_cannot_be_copied_says_so(held):
    from heliotrope.core.errors import InputError
    from heliotrope.explain.randomised import layers_of

    _, (images, answers) = held

    class Uncopied(FixedFilter):
        def __deepcopy__(self, memo):
            raise TypeError("holds a lock")

    with pytest.raises(InputError, match="cannot be copied"):
        layers_of(opened_network(Uncopied(), images, answers).model, images[:4])


def test_layers_are_counted_in_the_order_a_batch_meets_them():
    from heliotrope.explain.randomised import layers_of

    class Twisted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = torch.nn.Linear(8, 3)
            self.first = torch.nn.Linear(16, 8)

        def forward(self, batch):
            return self.last(self.first(batch.flatten(1)).relu())

    images = np.random.default_rng(0).random((40, 1, 4, 4), dtype=np.float32)
    opened = opened_network(Twisted(), images, np.zeros(40, dtype=np.int64))
    assert layers_of(opened.model, images[:4]).names == ("first", "last")
    assert layers_of(opened.model, images[:4]).top(1) == ("last",)


def test_the_same_seed_gives_the_same_numbers(held, tmp_path):
    _, (images, answers) = held
    module = trained(*held[0], epochs=3)
    one, two = (run_check(CHECK, opened_network(module, images, answers, sample=40), tmp_path)[1] for _ in range(2))
    assert one == two
