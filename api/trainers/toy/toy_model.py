"""A tiny diffusion model in NumPy: pictures of discs, squares and stripes, learned by flow matching."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

HIDDEN = 192
BETAS = (0.9, 0.999)
SAMPLING_STEPS = 24
#: Number of sines and cosines of the time that are inputs besides the time itself.
FREQUENCIES = 4


def draw_pictures(count: int, size: int, seed: int) -> Array:
    """Return `count` grey pictures of `size` × `size` pixels from -1 to 1, one per row."""
    rng = np.random.default_rng([seed, 0])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    pictures = np.empty((count, size * size), dtype=np.float32)
    for index in range(count):
        kind = rng.integers(3)
        middle_x, middle_y = rng.uniform(0.35, 0.65, 2) * (size - 1)
        radius = rng.uniform(0.2, 0.32) * size
        if kind == 0:
            distance = np.hypot(x - middle_x, y - middle_y) - radius
        elif kind == 1:
            distance = np.maximum(abs(x - middle_x), abs(y - middle_y)) - radius
        else:
            along = x if rng.integers(2) else y
            distance = abs(along - middle_x) - radius / 2
        pictures[index] = np.clip(-distance, -1, 1).ravel()
    return pictures


class ToyModel:
    """A network of three layers that predicts the clean picture from a noisy one and the time (0 clean, 1 noise)."""

    def __init__(self, pixels: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        sizes = (pixels + 1 + 2 * FREQUENCIES, HIDDEN, HIDDEN, pixels)
        self.pixels = pixels
        self.weights: dict[str, Array] = {}
        for layer, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            scale = np.sqrt(2 / inputs)
            self.weights[f"layer{layer}.weight"] = rng.normal(0, scale, (inputs, outputs)).astype(np.float32)
            self.weights[f"layer{layer}.bias"] = np.zeros(outputs, dtype=np.float32)

    def predict(self, noisy: Array, time: Array) -> Array:
        """Return the predicted clean pictures."""
        return self._forward(noisy, time)[-1]

    def loss(self, clean: Array, noise: Array, time: Array) -> float:
        """Return the mean squared error of the predicted pictures at these times."""
        return float(np.mean((self.predict(_mix(clean, noise, time), time) - clean) ** 2))

    def gradients(self, clean: Array, noise: Array, time: Array) -> tuple[float, dict[str, Array]]:
        """Return the loss and its gradient for every weight."""
        weights = self.weights
        inputs, first, second, output = self._forward(_mix(clean, noise, time), time)
        error = output - clean
        flow = error * np.float32(2 / error.size)
        found: dict[str, Array] = {}
        for layer, below in ((3, second), (2, first), (1, inputs)):
            found[f"layer{layer}.weight"] = below.T @ flow
            found[f"layer{layer}.bias"] = flow.sum(axis=0)
            if layer > 1:
                flow = (flow @ weights[f"layer{layer}.weight"].T) * (below > 0)
        return float(np.mean(error**2)), found

    def sample(self, count: int, seed: int) -> Array:
        """Generate pictures from noise along the flow to time 0."""
        rng = np.random.default_rng([seed, 2])
        pictures = rng.standard_normal((count, self.pixels), dtype=np.float32)
        for step in range(SAMPLING_STEPS, 0, -1):
            time = np.full((count, 1), step / SAMPLING_STEPS, dtype=np.float32)
            pictures += (self.predict(pictures, time) - pictures) / step
        return np.clip(pictures, -1, 1)

    def _forward(self, noisy: Array, time: Array) -> tuple[Array, Array, Array, Array]:
        weights = self.weights
        angles = time * (np.pi * 2 ** np.arange(FREQUENCIES, dtype=np.float32))
        inputs = np.concatenate([noisy, time, np.sin(angles), np.cos(angles)], axis=1, dtype=np.float32)
        first = np.maximum(inputs @ weights["layer1.weight"] + weights["layer1.bias"], 0)
        second = np.maximum(first @ weights["layer2.weight"] + weights["layer2.bias"], 0)
        return inputs, first, second, second @ weights["layer3.weight"] + weights["layer3.bias"]


class Adam:
    """The optimizer Adam: keeps a running mean and square of every gradient."""

    def __init__(self, model: ToyModel, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.step_count = 0
        self.averages = {name: np.zeros_like(weight) for name, weight in model.weights.items()}
        self.squares = {name: np.zeros_like(weight) for name, weight in model.weights.items()}

    def step(self, gradients: dict[str, Array]) -> float:
        """Update the weights by one step and return the norm of the gradient."""
        self.step_count += 1
        rate = self.learning_rate * np.sqrt(1 - BETAS[1] ** self.step_count) / (1 - BETAS[0] ** self.step_count)
        for name, gradient in gradients.items():
            mean, square = self.averages[name], self.squares[name]
            mean += np.float32(1 - BETAS[0]) * (gradient - mean)
            square += np.float32(1 - BETAS[1]) * (gradient * gradient - square)
            self.model.weights[name] -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))
        return float(np.sqrt(sum(float(np.sum(gradient * gradient)) for gradient in gradients.values())))


def pick_noise(shape: tuple[int, int], seed: Sequence[int]) -> tuple[Array, Array]:
    """Return the noise and times of a step, reproducible by seed."""
    rng = np.random.default_rng(list(seed))
    return rng.standard_normal(shape, dtype=np.float32), rng.random((shape[0], 1), dtype=np.float32)


def _mix(clean: Array, noise: Array, time: Array) -> Array:
    return (1 - time) * clean + time * noise
