"""The settings, read once. No other package reads the environment."""

from api.config.settings import LOOPBACK_NAMES, SETTINGS, Config
from api.config.sources import (
    ConfigError,
    cache_roots,
    child_environment,
    program,
    read_config,
    refuse,
    tracker_environment,
)

__all__ = [
    "LOOPBACK_NAMES",
    "SETTINGS",
    "Config",
    "ConfigError",
    "cache_roots",
    "child_environment",
    "program",
    "read_config",
    "refuse",
    "tracker_environment",
]
