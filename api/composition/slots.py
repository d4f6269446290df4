"""Builds the limits of concurrent tasks without GPUs."""

import os

from api.config import Config
from api.training.slots import SlotLimits


def slot_limits(config: Config) -> SlotLimits:
    """Return the limits of dataset work and of transfers."""
    working = config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
    return SlotLimits(working, config.transfers_parallel, config.hf_endpoint)
