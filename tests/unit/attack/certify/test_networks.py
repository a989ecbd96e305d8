"""Bounds of networks are sound whatever the network, tight where they are exact, and claim nothing of what they do not know."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from heliotrope.attack.certify import Budget, NotModelled, certify, probe  # noqa: E402
from heliotrope.attack.certify._service import certifier_of, require_same_answers  # noqa: E402
from heliotrope.attack.certify.interface import Region  # noqa: E402
from heliotrope.attack.certify.nets.bounds import Domain, bound, linear_range  # noqa: E402
from heliotrope.attack.certify.nets.from_torch import from_torch  # noqa: E402
from heliotrope.attack.certify.nets.optimised import climb  # noqa: E402
from heliotrope.attack.certify.nets.rows import Rows  # noqa: E402
from heliotrope.attack.gradients.losses import Objective  # noqa: E402
from heliotrope.attack.gradients.model import GradientModel  # noqa: E402
from heliotrope.attack.gradients.pgd import descend  # noqa: E402
from heliotrope.subjects.balls import ball_around  # noqa: E402

pytestmark = pytest.mark.torch
FAST = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def breaks(module, images, labels, threat, eps, *, steps):
    """How many of the images projected gradient descent breaks."""
    ball = ball_around(images, threat, eps)
    found = descend(GradientModel(module), ball, images, Objective("margin", labels), steps=steps, size=eps / 8)
    return int(found.broken.sum())


class Residual(nn.Module):
    """Convolutions with batch statistics, a skipped connection, both kinds of pooling, two branches side by side."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.pool, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.Linear(32, 3)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x):
        x = functional.relu(self.norm(self.first((x - 0.5) / 0.25)))
        x = self.pool(x + functional.hardtanh(self.second(x)))
        x = functional.avg_pool2d(x, 2)
        return self.last(torch.cat([x, torch.relu(-x)], 1).view(x.size(0), -1))


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 3, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(6, 4),
            nn.Tanh(),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x))


def dense(sizes, activation=nn.ReLU):
    layers = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


MAKERS = {
    "residual": (Residual, (2, 8, 8)),
    "sequence": (Sequence, (2, 8)),
    "dense": (lambda: dense((5, 12, 12, 3)), (5,)),
    "sigmoid": (lambda: dense((5, 8, 3), nn.Sigmoid), (5,)),
    "strided": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, dilation=1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(6, 3),
        ),
        (1, 10, 10),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@FAST
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.01, 0.1, 0.5]))
def test_no_input_of_the_region_leaves_the_bounds(name, norm, seed, eps):
    torch.manual_seed(seed)
    make, shape = MAKERS[name]
    module = make().eval()
    centre = torch.rand(2, *shape, dtype=torch.float64)
    network = from_torch(module, centre[0].float())
    ball = (centre, eps) if norm == "L2" else (None, 0.0)
    domain = Domain(centre - eps, centre + eps, *ball)
    with torch.no_grad():
        known = bound(network, domain)
        classes = network.classes
        spec = torch.eye(classes, dtype=torch.float64)
        rows = Rows((spec - spec.roll(1, 0)).repeat(2, 1), torch.arange(2).repeat_interleave(classes))
        low, high = linear_range(network, known, len(network.nodes) - 1, rows)
    better, _, _ = climb(network, known, rows, steps=4, enough=1e9)
    points = corners(centre, eps, norm, 200)
    with torch.no_grad():
        held = network.values(points.flatten(0, 1))
        served = module(points.flatten(0, 1).float()).double().reshape(200, 2, classes)
    for node, (lower, upper), values in zip(network.nodes, known.ranges, held, strict=True):
        seen = values.reshape(200, 2, *node.shape)
        assert bool((seen >= lower - 1e-9).all()), node.label
        assert bool((seen <= upper + 1e-9).all()), node.label
    seen = (served[:, rows.sample] * rows.values).sum(-1)
    assert bool((seen.amin(0) >= low).all())
    assert bool((seen.amax(0) <= high).all())
    assert bool((seen.amin(0) >= better.low).all())
    assert bool((better.low >= low - 1e-6).all()) or name == "residual"  # maxima have no free slope


def corners(centre, eps, norm, count):
    change = torch.rand(count, *centre.shape, dtype=torch.float64) * 2 - 1
    if norm == "Linf":
        return centre + eps * torch.where(torch.rand(count, 1, *[1] * (centre.ndim - 1)) < 0.7, change.sign(), change)
    flat = change.flatten(2)
    return centre + eps * (flat / flat.norm(dim=2, keepdim=True)).reshape(change.shape)


def test_bounds_of_an_affine_network_are_exact():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)).double().eval()
    centre = torch.rand(1, 6, dtype=torch.float64)
    network = from_torch(module, centre[0])
    with torch.no_grad():
        known = bound(network, Domain(centre - 0.1, centre + 0.1))
        rows = Rows(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.int64))
        low, high = linear_range(network, known, 2, rows)
        weight = module[1].weight @ module[0].weight
        reach = 0.1 * weight.abs().sum(1)
        value = module(centre)[0]
    assert torch.allclose(low, value - reach, atol=1e-9)
    assert torch.allclose(high, value + reach, atol=1e-9)


@pytest.mark.parametrize("eps", [0.02, 0.08, 0.2])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_certified_and_broken_are_disjoint_and_examples_hold(eps, norm, threat):
    """The attack that ships breaks nothing that is certified, and every example misleads the model itself."""
    torch.manual_seed(3)
    module = dense((8, 16, 16, 3)).eval().requires_grad_(False)
    images = torch.rand(40, 1, 2, 4)
    wrapped = nn.Sequential(nn.Flatten(), module).eval()
    labels = wrapped(images).argmax(1)
    labels[:5] = (labels[:5] + 1) % 3  # wrong by themselves
    found = certify(wrapped, images.numpy(), labels.numpy(), norm=norm, eps=eps, budget=Budget(nodes=40, steps=6))
    assert found.right.tolist() == [False] * 5 + [True] * 35
    assert all(verdict == "broken" for verdict in found.verdicts[:5])
    model = threat(norm, eps)
    sure = torch.tensor([row for row, verdict in enumerate(found.verdicts) if verdict == "certified"])
    assert len(sure) > 0 or eps > 0.1
    if len(sure):
        assert breaks(wrapped, images[sure], labels[sure], model, eps, steps=60) == 0
    for row, example in found.examples.items():
        assert example.dtype == np.float32
        change = (example.astype(np.float64) - images[row].numpy()).ravel()
        assert np.linalg.norm(change, np.inf if norm == "Linf" else 2) <= eps
        assert int(wrapped(torch.from_numpy(example)[None]).argmax()) != int(labels[row])


def test_branch_and_bound_decides_what_bounds_alone_leave_open():
    torch.manual_seed(5)
    module = dense((6, 16, 16, 2)).eval().requires_grad_(False)
    inputs = torch.rand(25, 6)
    labels = module(inputs).argmax(1).numpy()
    plain = certify(module, inputs.numpy(), labels, eps=0.15, budget=Budget(steps=0))
    whole = certify(module, inputs.numpy(), labels, eps=0.15, budget=Budget(nodes=3000))
    assert whole.count("undecided") == 0
    assert plain.count("undecided") > 0
    assert whole.count("certified") > plain.count("certified")
    for before, after in zip(plain.verdicts, whole.verdicts, strict=True):
        assert before in (after, "undecided")


def test_a_spent_budget_leaves_samples_undecided_not_certified():
    torch.manual_seed(5)
    module = dense((6, 40, 40, 40, 2)).eval().requires_grad_(False)
    inputs = torch.rand(30, 6)
    labels = module(inputs).argmax(1).numpy()
    budget = Budget(nodes=1, steps=0)
    found = certify(module, inputs.numpy(), labels, eps=0.25, low=-9, high=9, budget=budget)
    assert found.count("undecided") > 0
    late = certify(module, inputs.numpy(), labels, eps=0.25, budget=Budget(seconds=0.0))
    assert late.count("certified") == 0


def test_a_search_just_within_each_radius_finds_nothing(threat):
    torch.manual_seed(2)
    module = dense((8, 16, 3)).eval().requires_grad_(False)
    images = torch.rand(200, 1, 2, 4)
    wrapped = nn.Sequential(nn.Flatten(), module).eval()
    labels = wrapped(images).argmax(1)
    found = certify(wrapped, images.numpy(), labels.numpy(), eps=0.1, low=-9, high=9, budget=Budget(steps=0, radii=12))
    assert bool((found.radius > 0).all())
    shape = (-1, 1, 1, 1)
    radius = torch.from_numpy(found.radius).reshape(shape) * (1 - 1e-6)
    point = images.double()
    for _ in range(40):
        point = point.detach().requires_grad_(True)
        scores = wrapped.double()(point)
        lead = scores.gather(1, labels[:, None])[:, 0] - scores.scatter(1, labels[:, None], -1e9).amax(1)
        assert bool((lead > 0).all())
        step = torch.autograd.grad(lead.sum(), point)[0].sign() * radius / 8
        point = (point - step).detach().clamp(images.double() - radius, images.double() + radius)
    assert bool((wrapped.float()(point.float()).argmax(1) == labels).all())


class Unknown(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.layer, self.body = nn.Linear(4, 3), body

    def forward(self, x):
        return self.body(self.layer, x)


def hooked(module):
    module.layer.register_forward_hook(lambda *_: None)
    return module


def overridden(module):
    module.layer.forward = lambda x: x[:, :3] * 2
    return module


@pytest.mark.parametrize(
    ("module", "fact"),
    [
        (Unknown(lambda layer, x: layer(x) * layer(x)), "multiplies two functions"),
        (Unknown(lambda layer, x: layer(x) + torch.randn(3)), "perhaps at random"),
        (Unknown(lambda layer, x: layer(x).sort(dim=1).values), "sort"),
        (Unknown(lambda layer, x: layer(x) if x.sum() > 0 else x[:, :3]), "cannot be traced"),
        (Unknown(lambda layer, x: layer(x) - x.mean(0)[:3]), "mean"),
        (Unknown(lambda layer, x: (layer(x), x)), "one tensor"),
        (Unknown(lambda layer, x: functional.dropout(layer(x))), "dropout is active"),
        (Unknown(lambda layer, x: functional.softmax(layer(x), 1) * 2), "within the network"),
        (hooked(Unknown(lambda layer, x: layer(x))), "forward hooks"),
        (overridden(Unknown(lambda layer, x: layer(x))), "of its own instance"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), "weight_norm"),
        (nn.Linear(4, 3).half(), "float16"),
    ],
)
def test_what_is_not_known_is_a_fact_and_no_claim(module, fact):
    with pytest.raises(NotModelled, match=fact):
        certify(module.eval(), np.zeros((2, 4), np.float32), np.zeros(2, np.int64), eps=0.1)


def test_a_module_in_training_mode_is_not_certified():
    with pytest.raises(NotModelled, match="training mode"):
        certify(nn.Linear(4, 3).train(), np.zeros((2, 4), np.float32), np.zeros(2, np.int64), eps=0.1)


def test_answers_that_tracing_does_not_show_are_caught_by_comparing():
    """A counter in Python state: the trace froze its first value."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.count = nn.Linear(4, 3), 0

        def forward(self, x):
            self.count += 1
            return self.layer(x) * float(self.count)

    inputs = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    with torch.no_grad():
        certifier = certifier_of(Counting().eval(), inputs[0])
        with pytest.raises(NotModelled, match="answers otherwise"):
            require_same_answers(certifier, inputs)


def test_a_softmax_at_the_end_changes_no_verdict():
    torch.manual_seed(1)
    plain = dense((5, 10, 3)).eval().requires_grad_(False)
    inputs = torch.rand(30, 5)
    labels = plain(inputs).argmax(1).numpy()
    one = certify(plain, inputs.numpy(), labels, eps=0.05)
    other = certify(nn.Sequential(plain, nn.Softmax(1)).eval(), inputs.numpy(), labels, eps=0.05)
    assert one.verdicts == other.verdicts


def test_the_probe_pays_on_a_model_that_can_be_certified_and_is_cheap_on_one_that_cannot():
    torch.manual_seed(0)
    inputs = torch.rand(200, 10)
    for factor, pays in ((0.05, True), (30.0, False)):
        module = dense((10, 40, 40, 3)).eval().requires_grad_(False)
        for layer in module[:-1:2]:
            layer.weight *= max(1, factor)
        labels = module(inputs).argmax(1).numpy()
        certifier = certifier_of(module, inputs[0].numpy())
        region = Region("Linf", 0.002 if pays else 0.3, -9, 9)
        worth = probe(certifier, inputs.numpy(), labels, region, attack_seconds=1.0)
        assert worth.pays is pays
        assert worth.seconds <= 0.05 * 1.0 * len(inputs)
        assert str(worth.certified) in worth.reason


@pytest.fixture(scope="module")
def certified_mnist(mnist):
    module, images, labels = mnist
    found = certify(module, images[:200].numpy(), labels[:200].numpy(), eps=0.1, budget=Budget(steps=20, nodes=20))
    return found, module, images[:200], labels[:200]


def test_the_published_model_is_certified_as_published(certified_mnist):
    """Published are 5.8 % of certified error on all, and 4.1 % found by PGD; these are the first 200."""
    found, _, _, _ = certified_mnist
    assert found.count("certified") >= 0.95 * 200
    assert found.count("broken") >= 0.03 * 200
    assert found.count("undecided") <= 0.02 * 200


def test_the_attack_that_ships_breaks_nothing_certified_on_the_published_model(certified_mnist, threat):
    found, module, images, labels = certified_mnist
    sure = torch.tensor([row for row, verdict in enumerate(found.verdicts) if verdict == "certified"])
    assert breaks(module, images[sure], labels[sure], threat("Linf", 0.1), 0.1, steps=20) == 0


def test_at_a_larger_eps_almost_nothing_is_proven_and_the_probe_notices(mnist):
    module, images, labels = mnist
    certifier = certifier_of(module, images[0].numpy())
    worth = probe(certifier, images[:100].numpy(), labels[:100].numpy(), Region("Linf", 0.15), attack_seconds=0.02)
    assert not worth.pays


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_published_model_on_all_images(mnist):
    """Certified error at most 6.1 %, error found at least the published 3.9 of FGSM; disjoint by construction."""
    module, images, labels = mnist
    found = certify(module, images.numpy(), labels.numpy(), eps=0.1, budget=Budget(steps=20, nodes=100))
    n = len(labels)
    assert (n - found.count("certified")) / n <= 0.061
    assert 0.039 <= found.count("broken") / n <= 0.058
    assert int((~found.right).sum()) == 180
