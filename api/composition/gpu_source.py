"""Create the source of GPU readings from the settings."""

from api.composition.fleet import simulated_seed
from api.config import Config, ConfigError
from api.gpus.sources.auto import AbsentSource, AutoSource
from api.gpus.sources.boards import parse_boards
from api.gpus.sources.nvml import NVMLSource, library_is_absent
from api.gpus.sources.simulated import SimulatedSource
from api.gpus.sources.simulated_events import parse_events
from api.gpus.sources.source import GPUSource
from api.util.clock import Clock


def create_source(config: Config, clock: Clock) -> GPUSource:
    """Return the source that GPU_SOURCE names. Raises ConfigError if SIMULATED_GPUS or SIMULATED_EVENTS is invalid."""
    if config.gpu_source in ("nvml", "none"):
        return NVMLSource() if config.gpu_source == "nvml" else AbsentSource()
    try:
        boards = parse_boards(config.simulated_gpus)
    except ValueError as error:
        raise ConfigError(f'SIMULATED_GPUS="{config.simulated_gpus}": {error}') from error
    try:
        events = parse_events(config.simulated_events)
    except ValueError as error:
        raise ConfigError(f"SIMULATED_EVENTS {error}") from error
    simulated = SimulatedSource(boards, simulated_seed(config), clock, events)
    if config.gpu_source == "simulated":
        return simulated
    return AutoSource(NVMLSource, simulated, library_is_absent)
