"""The sliced Wasserstein distance in PyTorch, differentiable by autograd.

Tensors are copied to the CPU, where the kernels of this library compute the power and the
derivatives of both clouds in one pass.

Needs PyTorch: ``pip install 'randla[torch]'``.
"""

from typing import Any

import numpy as np

try:
    import torch
    from torch.autograd.function import once_differentiable
except ImportError as error:
    raise ImportError("randla.torch needs PyTorch: pip install 'randla[torch]'") from error

from randla._validation import as_count
from randla.transport._training import check_options, derivatives

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(
    X: Any, Y: Any, seed: Any, *, a: Any = None, b: Any = None, **options: Any
) -> tuple[Any, Any]:
    r"""Estimate :math:`SW_p^p` of two clouds with its standard error, differentiable in PyTorch.

    Parameters
    ----------
    X : (n, d) tensor
        Points of the first cloud, floating-point numbers on any device.
    Y : (m, d) tensor
        Points of the second cloud.
    seed : int or torch.Generator
        Seed of the directions; use a different seed in each step of a training loop. A generator
        (on the CPU) advances by itself.
    a, b : (n,) and (m,) tensor, optional
        Non-negative weights, scaled to sum 1; differentiable too.
    **options
        `p`, `n_projections` and `directions` of `randla.sliced_wasserstein_gradient`.

    Returns
    -------
    power, standard_error : scalar tensors
        With the dtype and on the device of X. The second has no derivative; NaN for directions
        given as an array.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    Notes
    -----
    First derivatives only. The gradient has less noise than the derivative of `power` on the same
    directions, and is therefore not equal to it; on directions given as an array they are equal, as
    line searches require.

    Examples
    --------
    >>> import torch
    >>> import randla.torch
    >>> X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> Z = (X + 1.0).requires_grad_()
    >>> power, error = randla.torch.sliced_wasserstein(Z, X, 0)
    >>> power.backward()
    >>> round(float(Z.grad.sum()), 3)  # 2 / 3 for each of three coordinates
    2.0
    """
    for name, tensor in (("X", X), ("Y", Y), ("a", a), ("b", b)):
        if not isinstance(tensor, torch.Tensor):
            if tensor is not None or name in "XY":
                raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        elif not tensor.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers, got {tensor.dtype}")
    check_options(options, tuple(X.shape), tuple(Y.shape))
    if isinstance(seed, torch.Generator):
        seed = torch.randint(2**62, (), generator=seed).item()
    seed = as_count(seed, "seed", minimum=0, maximum=2**64 - 1)
    power, error = _SlicedWasserstein.apply(X, Y, a, b, seed, options)
    return power, error


class _SlicedWasserstein(torch.autograd.Function):
    """The power and its error; the derivatives that are needed are computed at once."""

    @staticmethod
    def forward(
        ctx: Any, X: Any, Y: Any, a: Any, b: Any, seed: Any, options: dict[str, Any]
    ) -> tuple[Any, Any]:
        arrays: list[Any] = [None if w is None else _to_numpy(w) for w in (X, Y, a, b)]
        result = derivatives(arrays, seed, options, ctx.needs_input_grad[:4])
        slopes = [
            None if slope is None else torch.as_tensor(slope).to(tensor)
            for slope, tensor in zip(result[2:], (X, Y, a, b), strict=True)
        ]
        ctx.save_for_backward(*slopes)
        power, error = (torch.tensor(float(x), dtype=X.dtype, device=X.device) for x in result[:2])
        ctx.mark_non_differentiable(error)
        return power, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_power: Any, _: Any) -> tuple[Any, ...]:
        slopes = ctx.saved_tensors
        return (*(None if s is None else of_power.to(s) * s for s in slopes), None, None)


def _to_numpy(tensor: Any) -> np.ndarray:
    """float32 or float64 on the CPU."""
    tensor = tensor.detach().cpu()
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array
