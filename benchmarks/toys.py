"""Toy trainings that do little and print much."""

from typing import Any

#: So many steps that the training outlasts any measurement.
ENDLESS = 1_000_000


def chatty_toy(
    step_seconds: float, lines_per_step: int, steps: int = ENDLESS, load_seconds: float = 0
) -> dict[str, Any]:
    """Return a request for a training; each step prints two more lines of its own."""
    return {
        "model_type": "toy",
        "config": {
            "epochs": 1,
            "micro_batch_size_per_gpu": 1,
            "toy": {
                "size": 4,
                "steps_per_epoch": steps,
                "step_seconds": step_seconds,
                "log_lines_per_step": lines_per_step,
                "cache_seconds": 0,
                "load_seconds": load_seconds,
            },
        },
    }
