import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.balls import ball_around, norms, shrunk

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
pytestmark = pytest.mark.torch

ranges = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-0.1, 0.3), (100.0, 101.0)])


@given(st.sampled_from(["Linf", "L2"]), ranges, st.floats(1e-4, 2), st.integers(0, 2**31), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_every_way_into_the_ball_keeps_norm_and_range(norm, bounds, share, seed, side):
    low, high = bounds
    threat = ThreatModel(
        norm=norm, eps=share * (high - low), steps=1, restarts=1, step_size=1, input_low=low, input_high=high
    )
    generator = torch.Generator().manual_seed(seed)
    low32, high32 = torch.tensor(low), torch.tensor(high)
    shape = (3, 1, side, side)
    centres = (low32 + (high32 - low32) * torch.rand(shape, generator=generator)).clamp(low32, high32)
    noise = torch.randn(shape, generator=generator)
    ball = ball_around(centres, threat, threat.eps)
    reached = [
        ball.random(noise, torch.rand(3, generator=generator)),
        ball.project(centres + 10 * noise),
        ball.step(centres, noise, threat.eps * 3),
        ball.step(ball.step(centres, noise, threat.eps), -noise, threat.eps),
        ball.select(torch.tensor([True, False, True])).project(centres[[0, 2]] - noise[[0, 2]]),
    ]
    for inputs in reached:
        around = centres if len(inputs) == 3 else centres[[0, 2]]
        assert float(norms(inputs.double() - around.double(), norm).max()) <= threat.eps * (1 + 1e-6)
        assert bool((inputs >= low32).all())
        assert bool((inputs <= high32).all())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_zero_gradients_do_not_move(threat, norm):
    centres = torch.full((2, 1, 3, 3), 0.5)
    moved = ball_around(centres, threat(norm), 0.1).step(centres, torch.zeros_like(centres), 0.05)
    assert torch.equal(moved, centres)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_size_of_a_gradient_does_not_matter(threat, norm, scale):
    centres = torch.full((2, 1, 3, 3), 0.5)
    gradient = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    ball = ball_around(centres, threat(norm, 0.2), 0.2)
    torch.testing.assert_close(ball.step(centres, gradient * scale, 0.1), ball.step(centres, gradient, 0.1))


def test_l2_steps_have_the_length_they_should(threat):
    centres = torch.full((1, 1, 5, 5), 0.5)
    gradient = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    moved = ball_around(centres, threat("L2", 1.0), 1.0).step(centres, gradient, 0.25)
    assert float(norms(moved - centres, "L2")) == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_random_points_fill_the_ball(threat, norm):
    centres = torch.full((4000, 1, 1, 2), 0.5)
    generator = torch.Generator().manual_seed(0)
    noise, shares = torch.randn(centres.shape, generator=generator), torch.rand(4000, generator=generator)
    points = ball_around(centres, threat(norm, 0.2), 0.2).random(noise, shares) - centres
    inside = float((norms(points, norm) <= 0.1).float().mean())
    assert inside == pytest.approx(0.25, abs=0.03)  # a plane: half the radius is a quarter of the area
    assert float(points.mean()) == pytest.approx(0, abs=0.01)


def test_shrunk_reaches_the_radius_and_leaves_smaller_changes_alone():
    change = torch.tensor([[[[0.3, 0.4]]], [[[0.01, 0.0]]]])
    torch.testing.assert_close(shrunk(change, "L2", 0.1), torch.tensor([[[[0.06, 0.08]]], [[[0.01, 0.0]]]]))
    torch.testing.assert_close(shrunk(change, "Linf", 0.1), torch.tensor([[[[0.1, 0.1]]], [[[0.01, 0.0]]]]))
