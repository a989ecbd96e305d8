"""Walks along the boundary: exact projections, closed forms of linear models, and what leaves is what the threat allows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.attack.ensemble.presets import PRESETS, white_box_of
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import Budget, Samples

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
from torch import nn  # noqa: E402

from heliotrope.attack.gradients.fab import BoundaryWalk  # noqa: E402
from heliotrope.attack.gradients.planes import onto_plane  # noqa: E402
from heliotrope.subjects.balls import lengths_of, norms  # noqa: E402

pytestmark = pytest.mark.torch

NUMBERS = st.integers(min_value=0, max_value=2**32 - 1)


def drawn(seed, n=6, values=12):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, values, generator=generator, dtype=torch.float64)
    normals = torch.randn(n, values, generator=generator, dtype=torch.float64)
    gaps = torch.randn(n, generator=generator, dtype=torch.float64)
    return points, normals, gaps


@settings(max_examples=60, deadline=None)
@given(seed=NUMBERS, norm=st.sampled_from(["Linf", "L2"]))
def test_a_projection_meets_the_plane_inside_the_box_or_goes_to_its_corner(seed, norm):
    points, normals, gaps = drawn(seed)
    change = onto_plane(points, normals, gaps, norm=norm, low=0.0, high=1.0)
    moved = points + change
    assert bool((moved >= -1e-9).all())
    assert bool((moved <= 1 + 1e-9).all())
    reached = (normals * change).sum(dim=1)
    corner = torch.where(normals * -gaps[:, None].sign() > 0, 1 - points, points).abs()
    most = (normals.abs() * corner).sum(dim=1)
    wanted = torch.minimum(gaps.abs(), most) * -gaps.sign()
    assert torch.allclose(reached, wanted, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=NUMBERS, norm=st.sampled_from(["Linf", "L2"]))
def test_no_change_that_meets_the_plane_is_smaller(seed, norm):
    """Against scipy on the same problem: a linear program, or a quadratic one."""
    import numpy as np
    from scipy.optimize import linprog, minimize

    points, normals, gaps = (tensor.numpy() for tensor in drawn(seed, n=1, values=5))
    change = onto_plane(*(torch.from_numpy(part) for part in (points, normals, gaps)), norm=norm, low=0.0, high=1.0)
    x, w, need = points[0], normals[0], -gaps[0]
    if abs(float((w * change.numpy()[0]).sum()) - need) > 1e-9:
        return  # the box is too small
    ours = float(norms(change, norm)[0])
    if norm == "Linf":
        both = np.concatenate([np.eye(5), -np.eye(5)])
        found = linprog(
            [0] * 5 + [1],
            A_ub=np.concatenate([both, -np.ones((10, 1))], axis=1), b_ub=np.zeros(10),
            A_eq=[[*w, 0]], b_eq=[need], bounds=[*zip(-x, 1 - x, strict=True), (0, None)],
        )  # fmt: skip
        best = found.fun
    else:
        found = minimize(
            lambda d: (d**2).sum(), change.numpy()[0] * 0, jac=lambda d: 2 * d, method="SLSQP",
            bounds=list(zip(-x, 1 - x, strict=True)), constraints=[{"type": "eq", "fun": lambda d: w @ d - need}],
            options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        best = float(found.fun) ** 0.5
    assert ours <= best + 1e-5


def test_a_normal_of_nothing_does_not_move_and_a_channel_without_budget_stays():
    points = torch.full((2, 2, 3), 0.5)
    normals = torch.ones(2, 2, 3)
    normals[1] = float("nan")
    units = torch.tensor([1.0, 0.0], dtype=torch.float64).reshape(1, 2, 1)
    change = onto_plane(points, normals, torch.tensor([-0.6, -0.6]), norm="Linf", low=0.0, high=1.0, units=units)
    assert torch.allclose(change[0, 0], torch.tensor(0.2))
    assert bool((change[0, 1] == 0).all())
    assert bool((change[1] == 0).all())


def linear(seed=0, classes=4, pixels=16):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(pixels, classes)
    layer.weight.data = torch.randn(classes, pixels, generator=generator)
    layer.bias.data = torch.randn(classes, generator=generator)
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


def samples_of(module, n=80):
    inputs = 0.3 + 0.4 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return Samples(inputs, module(inputs).argmax(dim=1), tuple(range(n)))


def smallest(module, samples, norm):
    """Distance to the nearest boundary of a linear model, box left out."""
    weights, scores = module[1].weight.double(), module(samples.inputs).double()
    best = torch.full((len(samples),), torch.inf, dtype=torch.float64)
    for other in range(weights.shape[0]):
        way = weights[other] - weights[samples.labels]
        gap = scores.gather(1, samples.labels[:, None])[:, 0] - scores[:, other]
        length = way.abs().sum(dim=1) if norm == "Linf" else way.square().sum(dim=1).sqrt()
        best = torch.where(samples.labels == other, best, torch.minimum(best, gap / length.clamp_min(1e-30)))
    return best


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.05), ("L2", 0.2)])
def test_of_a_linear_model_exactly_what_can_break_breaks(threat, norm, eps):
    module = linear()
    samples = samples_of(module)
    how = threat(norm, eps)
    broken = torch.zeros(len(samples), dtype=torch.bool)
    for rank in (1, 2, 3):
        found = BoundaryWalk(rank, 30)(GradientModel(module, batch=17), samples, how, seed=0)
        lengths = lengths_of(found.adversarial[found.broken], samples.inputs[found.broken], how)
        assert bool((lengths <= eps).all())
        assert bool((module(found.adversarial[found.broken]).argmax(dim=1) != samples.labels[found.broken]).all())
        broken |= found.broken
    exact = smallest(module, samples, norm)
    assert 5 < int((exact < eps).sum()) < 75
    assert not bool((broken & (exact > eps * 1.0001)).any())
    assert not bool((~broken & (exact < eps * 0.98)).any())


def test_neither_batch_nor_company_changes_what_is_found(threat):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5)).eval().requires_grad_(False)
    samples = samples_of(module, n=40)
    how = threat("L2", 0.3)
    whole = BoundaryWalk(1, 20, restart=1)(GradientModel(module), samples, how, seed=4)
    parts = BoundaryWalk(1, 20, restart=1)(GradientModel(module, batch=1), samples, how, seed=4)
    assert torch.equal(whole.broken, parts.broken)
    assert torch.equal(whole.forwards, parts.forwards)


def test_a_budget_cuts_a_walk(threat):
    module = linear()
    samples = samples_of(module)
    model = GradientModel(module)
    found = BoundaryWalk(1, 30)(model, samples, threat("Linf", 1e-4), seed=0, budget=Budget(forwards=5))
    assert int(found.forwards.max()) == 5


def test_random_models_are_not_walked_and_two_classes_have_one_walk():
    names = {one.name for one in white_box_of("standard", 10, 1, steps=50, draws=10)}
    assert not any(name.startswith("fab") for name in names)
    binary = [one.name for one in white_box_of("deep", 2, 1, steps=100) if one.name.startswith("fab")]
    assert binary == ["fab-1"]


def test_the_table_of_presets_counts_walks():
    for name, preset in PRESETS.items():
        passes = white_box_of(name, 10, 1, steps=preset.steps)
        spent = sum((one.steps or preset.steps) + 1 for one in passes)
        assert preset.forwards(preset.steps, 1, classes=10) == spent + preset.queries


def test_a_walk_breaks_what_climbing_leaves(threat, test_data):
    """At L2 1.5 on the MNIST fixture: Auto-PGD with cross-entropy, DLR and three targets leaves 78 % of 50 images."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
    import evasion
    from heliotrope.attack.gradients.campaign import campaign

    module, samples = evasion.target(test_data / "mnist")
    samples = samples.select(torch.arange(30))
    how = threat("L2", 1.5, steps=50)
    passes = white_box_of("standard", 10, 1, steps=50)
    climbs = [one for one in passes if not isinstance(one, BoundaryWalk)]
    left = campaign(GradientModel(module, batch=30), samples, how, climbs, seed=0, tick=lambda _share: None)
    both = campaign(GradientModel(module, batch=30), samples, how, passes, seed=0, tick=lambda _share: None)
    assert both.right_at(1.5) <= left.right_at(1.5) - 8
