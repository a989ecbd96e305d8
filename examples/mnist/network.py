"""The published classifier: two strided convolutions and two fully connected layers, logits out.

Architecture of the MNIST model of locuslab/convex_adversarial (Wong and Kolter 2018), MIT licence.
"""

from torch import nn


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
