"""How many tasks without GPUs run at a time, as the settings say; a part of the composition root."""

import os

from api.config import Config
from api.training.places import PlaceRules


def place_rules(config: Config) -> PlaceRules:
    """The places of work, and of transfers."""
    working = config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
    return PlaceRules(working, config.transfers_parallel, config.hf_endpoint)
