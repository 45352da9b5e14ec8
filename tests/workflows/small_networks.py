"""Small networks for regression, trained here so that their last layers are known.

One hidden layer of 50 units and 40 epochs, as in the tables of the literature; several members are
trained side by side, which is only faster. Inputs and outputs are standardized by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RATES = (0.9, 0.999)


@dataclass
class Networks:
    """E networks of d inputs, h hidden units (ReLU) and o outputs.

    Outputs are one mean, or a mean and the logarithm of a variance.
    """

    parameters: list[np.ndarray]

    @classmethod
    def drawn(
        cls, n_members: int, widths: tuple[int, int, int], g: np.random.Generator
    ) -> Networks:
        """Networks with random weights."""
        d, h, o = widths
        shapes = ((d, h), (1, h), (h, o), (1, o))
        scales = (np.sqrt(2.0 / d), 0.0, np.sqrt(1.0 / h), 0.0)
        return cls(
            [
                s * g.normal(size=(n_members, *shape))
                for shape, s in zip(shapes, scales, strict=True)
            ]
        )

    def last_layer(self, x: np.ndarray) -> np.ndarray:
        """Inputs of the last layer, (E, n, h)."""
        W1, b1, _, _ = self.parameters
        return np.maximum(x @ W1 + b1, 0.0)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """(E, n, o)."""
        return self.last_layer(x) @ self.parameters[2] + self.parameters[3]

    def sampled(
        self, x: np.ndarray, dropout: float, n_samples: int, g: np.random.Generator
    ) -> np.ndarray:
        """Outputs of the first network with units left out at random, (n_samples, n)."""
        _, _, W2, b2 = self.parameters
        hidden = self.last_layer(x)[0]
        samples = np.empty((n_samples, len(x)))
        for sample in samples:
            kept = g.random(hidden.shape) >= dropout
            sample[:] = ((hidden * kept / (1.0 - dropout)) @ W2[0] + b2[0])[:, 0]
        return samples

    def gradients(self, x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> list[np.ndarray]:
        """Gradients of the mean loss of each network; x (E, n, d), y (E, n), kept (E, n, h)."""
        W1, b1, W2, b2 = self.parameters
        before = x @ W1 + b1
        hidden = np.maximum(before, 0.0) * kept
        slope = _slope(hidden @ W2 + b2, y)
        back = (slope @ W2.swapaxes(1, 2)) * kept * (before > 0.0)
        return [
            x.swapaxes(1, 2) @ back,
            back.sum(axis=1, keepdims=True),
            hidden.swapaxes(1, 2) @ slope,
            slope.sum(axis=1, keepdims=True),
        ]


def _slope(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Derivative of the mean squared error, or Gaussian likelihood, by the outputs."""
    n = y.shape[1]
    residual = outputs[..., 0] - y
    if outputs.shape[-1] == 1:
        return residual[..., np.newaxis] / n
    precision = np.exp(-np.clip(outputs[..., 1], -8.0, 8.0))
    return np.stack([residual * precision, 0.5 - 0.5 * residual**2 * precision], axis=-1) / n


def train(
    x: np.ndarray,
    y: np.ndarray,
    *,
    n_members: int = 1,
    n_outputs: int = 1,
    dropout: float = 0.0,
    n_hidden: int = 50,
    n_epochs: int = 40,
    batch: int = 32,
    rate: float = 5e-3,
    decay: float = 1e-4,
    seed: int = 0,
) -> Networks:
    """Train networks from different starts by Adam, in different orders, with falling steps."""
    g = np.random.default_rng(seed)
    nets = Networks.drawn(n_members, (x.shape[1], n_hidden, n_outputs), g)
    moments = [[np.zeros_like(p) for p in nets.parameters] for _ in _RATES]
    n_batches = max(1, len(x) // batch)
    n_steps = n_epochs * n_batches
    for step in range(n_steps):
        if step % n_batches == 0:
            order = np.argsort(g.random((n_members, len(x))), axis=1)
        which = order[:, (step % n_batches) * batch : (step % n_batches + 1) * batch]
        shape = (*which.shape, n_hidden)
        kept = np.ones(shape) if not dropout else (g.random(shape) >= dropout) / (1.0 - dropout)
        gradients = nets.gradients(x[which], y[which], kept)
        size = rate * 0.5 * (1.0 + np.cos(np.pi * step / n_steps))
        for p, gradient, m, v in zip(nets.parameters, gradients, *moments, strict=True):
            m += (1.0 - _RATES[0]) * (gradient - m)
            v += (1.0 - _RATES[1]) * (gradient**2 - v)
            step_of_m = m / (1.0 - _RATES[0] ** (step + 1))
            root = np.sqrt(v / (1.0 - _RATES[1] ** (step + 1)))
            p -= size * (step_of_m / (root + 1e-8) + decay * p)
    return nets
