"""Where passes start: at the input itself, or at a point of the ball that depends on seed, restart and row alone."""

from typing import TYPE_CHECKING

from heliotrope.attack.interface import Samples
from heliotrope.subjects.balls import Ball

if TYPE_CHECKING:
    import torch

__all__ = ["random_points"]


def random_points(samples: Samples, ball: Ball, *, seed: int, restart: int) -> "torch.Tensor":
    """One point for each sample, on the device of the inputs: batches and threads do not change it."""
    import numpy as np
    import torch

    shape = tuple(samples.inputs.shape[1:])
    noise = np.empty((len(samples), *shape), dtype=np.float32)
    shares = np.empty(len(samples), dtype=np.float32)
    for position, row in enumerate(samples.rows):
        source = np.random.default_rng([seed, restart, row])
        source.standard_normal(out=noise[position], dtype=np.float32)
        shares[position] = source.random(dtype=np.float32)
    device = samples.inputs.device
    return ball.random(torch.from_numpy(noise).to(device), torch.from_numpy(shares).to(device))
