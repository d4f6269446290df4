import numpy as np
import pytest

from api.trainers.toy.toy_model import Adam, ToyModel, draw_pictures, pick_noise

SIZE = 8


def train(steps: int, seed: int = 0) -> tuple[ToyModel, list[float]]:
    pictures, model = draw_pictures(128, SIZE, seed), ToyModel(SIZE**2, seed)
    optimizer, losses = Adam(model, 0.002), []
    for step in range(steps):
        clean = pictures[np.random.default_rng([seed, step]).integers(0, 128, 32)]
        loss, gradients = model.gradients(clean, *pick_noise(clean.shape, (seed, step)))
        optimizer.step(gradients)
        losses.append(loss)
    return model, losses


def test_loss_falls():
    _, losses = train(40)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_same_seed_gives_the_same_losses():
    assert train(5)[1] == train(5)[1]
    assert train(5)[1] != train(5, seed=1)[1]


def test_trained_model_draws_shapes_and_an_untrained_one_noise():
    pictures, untrained = draw_pictures(128, SIZE, 0), ToyModel(SIZE**2, 0)
    trained, _ = train(200)

    def distance_to_nearest(samples: np.ndarray) -> float:
        return float(np.mean([np.min(np.mean((pictures - sample) ** 2, axis=1)) for sample in samples]))

    assert distance_to_nearest(trained.sample(16, 0)) < 0.5 * distance_to_nearest(untrained.sample(16, 0))


def test_gradient_is_the_slope_of_the_loss():
    model = ToyModel(SIZE**2, 0)
    model.weights = {name: weight.astype(np.float64) for name, weight in model.weights.items()}
    clean = draw_pictures(4, SIZE, 0)
    noise, time = pick_noise(clean.shape, (0,))
    _, gradients = model.gradients(clean, noise, time)
    for name in ("layer1.weight", "layer2.bias", "layer3.weight"):
        place = np.unravel_index(np.argmax(abs(gradients[name])), gradients[name].shape)
        losses = []
        for move in (1e-3, -1e-3):
            model.weights[name][place] += move
            losses.append(model.loss(clean, noise, time))
            model.weights[name][place] -= move
        assert (losses[0] - losses[1]) / 2e-3 == pytest.approx(gradients[name][place], rel=1e-2)
