"""
Train a sampler with PyTorch
============================

A small network turns normal noise into points on three circles. Its loss is the sliced Wasserstein
distance between a batch of its output and a batch of the data, with new directions in every step:
:func:`randla.torch.sliced_wasserstein`, an ordinary loss for autograd. The loss comes with a
standard error, which shows when its changes are due to the directions alone.

Needs PyTorch: ``pip install 'randla[torch]'``.
"""

# %%
import math

import torch

import randla.torch

torch.manual_seed(0)


def circles(n):
    """Points on three circles with some noise."""
    angle = 2 * math.pi * torch.rand(n)
    centers = torch.tensor([[-2.5, 0.0], [0.0, 0.0], [2.5, 0.0]])[torch.randint(3, (n,))]
    ring = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    return centers + ring + 0.05 * torch.randn(n, 2)


network = torch.nn.Sequential(
    torch.nn.Linear(2, 64),
    torch.nn.Tanh(),
    torch.nn.Linear(64, 64),
    torch.nn.Tanh(),
    torch.nn.Linear(64, 2),
)
optimizer = torch.optim.Adam(network.parameters(), lr=0.005)

# %%
# The seed of the directions is the number of the step.
for step in range(400):
    sample = network(torch.randn(256, 2))
    loss, error = randla.torch.sliced_wasserstein(sample, circles(256), step, n_projections=32)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0 or step == 399:
        print(f"step {step:3d}: SW_2^2 = {loss.item():.4f} +- {error.item():.0e}")

# %%
# A large sample, compared with new data.
with torch.no_grad():
    sample = network(torch.randn(4000, 2))
result = randla.sliced_wasserstein(sample, circles(4000), rng=0)
print(f"after training, 4000 points: SW_2 = {result.value:.3f} +- {result.standard_error:.0e}")
assert result.value < 0.3

# sphinx_gallery_thumbnail_path = "_drawn/circles.svg"
