import threading

import pytest

from api.config import Config, ConfigError
from api.hardware.auto import AutoSource
from api.hardware.nvml import NVMLSource
from api.hardware.simulated import SimulatedSource
from api.runtime import Runtime, allowed_names, create_source
from api.utils.clock import FakeClock


@pytest.mark.parametrize(("name", "kind"), [("auto", AutoSource), ("nvml", NVMLSource), ("simulated", SimulatedSource)])
def test_source_is_the_one_that_was_chosen(name: str, kind: type, clock: FakeClock):
    source = create_source(Config(gpu_source=name), clock)
    assert isinstance(source, kind)
    source.close()


def test_boards_that_cannot_be_read_are_refused(clock: FakeClock):
    with pytest.raises(ConfigError, match="GPU"):
        create_source(Config(gpu_source="simulated", simulated_gpus=""), clock)


def test_service_on_loopback_answers_to_loopback_names_and_those_that_were_allowed():
    config = Config(allowed_hosts=("gpu.example", "[2001:db8::1]:8080"))
    assert set(allowed_names(config)) == {"localhost", "127.0.0.1", "[::1]", "gpu.example", "[2001:db8::1]"}


def test_service_beyond_loopback_answers_to_its_own_addresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.hardware.host.own_addresses", lambda: frozenset({"box", "192.168.1.5", "fe80::1"}))
    names = set(allowed_names(Config(host="0.0.0.0", allow_unauthenticated=True)))
    assert {"box", "192.168.1.5", "[fe80::1]", "localhost"} <= names


def test_building_starts_no_thread():
    before = threading.active_count()
    Runtime(Config(gpu_source="simulated"))
    assert threading.active_count() == before


def test_start_gives_the_first_answers_and_stop_leaves_no_thread():
    before = set(threading.enumerate())
    runtime = Runtime(Config(gpu_source="simulated", simulated_gpus="3x L40S", log_level="WARNING"))
    runtime.start()
    try:
        assert runtime.services.gpus.wait_for_first_sweep(20)
        assert len(runtime.services.gpus.get_all_gpus()) == 3
    finally:
        runtime.stop()
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()] == []
