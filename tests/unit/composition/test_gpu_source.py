import pytest

from api.composition.gpu_source import create_source
from api.config import Config, ConfigError
from api.gpus.sources.auto import AbsentSource, AutoSource
from api.gpus.sources.nvml import NVMLSource
from api.gpus.sources.simulated import SimulatedSource
from api.util.clock import FakeClock


@pytest.mark.parametrize(
    ("name", "kind"),
    [("auto", AutoSource), ("nvml", NVMLSource), ("simulated", SimulatedSource), ("none", AbsentSource)],
)
def test_configured_source_is_created(name: str, kind: type, clock: FakeClock):
    source = create_source(Config(gpu_source=name), clock)
    assert isinstance(source, kind)
    source.close()


def test_invalid_boards_are_refused(clock: FakeClock):
    with pytest.raises(ConfigError, match="GPU"):
        create_source(Config(gpu_source="simulated", simulated_gpus=""), clock)
