import pytest

from api.gpus.sources.nvml_fields import is_integrated

ORIN = 11


@pytest.mark.parametrize("name", ["NVIDIA GB10", "NVIDIA Thor", "Orin (nvgpu)", "NVIDIA Jetson AGX Xavier"])
def test_chip_with_the_hosts_memory_is_recognised_by_its_name(name: str):
    assert is_integrated(name, 10, has_no_pci=False)


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 80GB HBM3", "NVIDIA GH200 480GB", "NVIDIA GB200", "NVIDIA GeForce RTX 4090", "Tesla T4", None]
)
def test_board_with_its_own_memory_is_not_integrated(name: str | None):
    assert not is_integrated(name, 9, has_no_pci=False)


def test_gpu_without_a_bus_location_is_integrated():
    assert is_integrated(None, None, has_no_pci=True)


def test_generation_of_orin_is_integrated():
    assert is_integrated(None, ORIN, has_no_pci=False)
