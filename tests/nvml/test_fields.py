"""Every field is read correctly; each failing field is null with a reason and affects no other."""

from typing import Any

import pytest

from tests.nvml.full_gpus import FIELDS_OF, OF_THE_MACHINE, expected_details, flat
from tests.nvml.probe import Probe
from tests.standin import StandIn

pytestmark = pytest.mark.quick

REASONS = {3: "unsupported", 4: "no_permission", 13: "unsupported"}


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the measured fields whose values differ, without derived fields and the time of reading."""
    follows = ("health", "status", "timestamp", "unavailable", "is_available")
    old, new = flat(before), flat(after)
    return {
        path: new.get(path) for path in {*old, *new} if old.get(path) != new.get(path) and not path.startswith(follows)
    }


@pytest.mark.parametrize("index", [0, 1])
def test_every_field_is_read_from_its_own_gpu(gpus: StandIn, probe: Probe, index: int) -> None:
    details = flat(probe.details(index))
    assert {path: details[path] for path in expected_details(index) if path != "unavailable"} == {
        path: value for path, value in expected_details(index).items() if path != "unavailable"
    }


def test_fully_supported_gpu_has_no_unavailable_fields(gpus: StandIn, probe: Probe) -> None:
    assert probe.details()["unavailable"] == {}


@pytest.mark.parametrize(
    ("function", "code"), [*dict.fromkeys(FIELDS_OF, 4).items(), *(("nvmlDeviceGetSerial", code) for code in REASONS)]
)
def test_failing_function_makes_only_its_fields_null_with_a_reason(
    gpus: StandIn, probe: Probe, function: str, code: int
) -> None:
    before, other = probe.details(), probe.details(1)
    gpus.fail(function, code, None if function in OF_THE_MACHINE else 0)
    after = probe.details()
    expected = set(FIELDS_OF[function])
    gone = {path for path in changed(before, after) if path not in expected and not path.startswith("ecc.")}
    nulls = {path: flat(after).get(path, "absent") for path in expected}
    assert (nulls, gone) == (dict.fromkeys(expected), set())
    assert after["unavailable"] == dict.fromkeys(expected, REASONS[code])
    if function not in OF_THE_MACHINE:
        assert changed(other, probe.details(1)) == {}


@pytest.mark.parametrize("code", REASONS)
def test_temperature_without_its_function_is_null_with_the_reason(gpus: StandIn, probe: Probe, code: int) -> None:
    # Newer bindings use another function than older ones.
    gpus.fail("nvmlDeviceGetTemperature", code, 0)
    gpus.fail("nvmlDeviceGetTemperatureV", code, 0)
    details = probe.details()
    assert details["temperature"]["gpu"] is None
    assert details["unavailable"] == {"temperature.gpu": REASONS[code]}


@pytest.mark.parametrize("code", [3, 4])
def test_rejected_throttle_reasons_are_null_with_the_reason(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlDeviceGetCurrentClocksEventReasons", code, 0)
    gpus.fail("nvmlDeviceGetCurrentClocksThrottleReasons", code, 0)
    details = probe.details()
    assert details["throttle_reasons"] is None
    assert details["unavailable"] == {"throttle_reasons": REASONS[code]}


def test_throttle_reasons_of_an_older_driver_are_read_by_the_older_function(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetCurrentClocksEventReasons", 13, 0)
    assert probe.details()["throttle_reasons"] == ["sw_power_cap", "sw_thermal_slowdown"]


def test_configured_power_limit_replaces_a_missing_enforced_limit(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetEnforcedPowerLimit", 3, 0)
    assert probe.details()["power"]["limit"] == 400.0


@pytest.mark.parametrize(("code", "reason"), [(3, "unsupported"), (4, "no_permission")])
def test_missing_power_limit_is_null_with_the_reason(gpus: StandIn, probe: Probe, code: int, reason: str) -> None:
    gpus.fail("nvmlDeviceGetEnforcedPowerLimit", code, 0)
    gpus.fail("nvmlDeviceGetPowerManagementLimit", code, 0)
    details = probe.details()
    assert (details["power"]["limit"], details["power"]["usage_percent"]) == (None, None)
    assert details["unavailable"] == {"power.limit": reason, "power.usage_percent": reason}


def test_cuda_version_falls_back_to_version_1_of_its_function(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlSystemGetCudaDriverVersion_v2", 13)
    assert probe.details()["cuda_version"] == "13.0"


def test_gpu_without_a_uuid_is_identified_by_its_bus_location(gpus: StandIn, probe: Probe) -> None:
    gpus.fail("nvmlDeviceGetUUID", 3, 0)
    assert probe.details()["uuid"] == "PCI-00000000:C0:00.0"


@pytest.mark.parametrize("code", [15, 16, 999])
def test_unusual_error_code_only_affects_the_driver_version(gpus: StandIn, probe: Probe, code: int) -> None:
    gpus.fail("nvmlSystemGetDriverVersion", code)
    details = probe.details()
    assert (details["driver_version"], details["utilization"]["gpu"]) == (None, 11)
