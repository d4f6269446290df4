from collections.abc import Mapping

from api.domain.machines.reading import (
    ECCErrors,
    FaultKind,
    GPUCondition,
)
from api.gpus.snapshot import GPUReading
from api.gpus.views import show_details
from tests.unit.builders import judged, lost, reading, snapshot, vitals


def reasons_of(gpu: GPUReading) -> Mapping[str, str]:
    return show_details(snapshot(gpu), judged(gpu)).unavailable


def test_values_of_a_lost_gpu_are_lost():
    reasons = reasons_of(lost())
    assert {reasons[path] for path in ("memory.used", "utilization.gpu", "processes", "ecc")} == {"lost"}
    assert not {"name", "uuid"} & reasons.keys()


def test_values_without_permission_have_that_reason():
    assert reasons_of(reading(fault=FaultKind.NO_PERMISSION, vitals=None))["memory.used"] == "no_permission"


def test_unread_values_have_that_reason():
    assert reasons_of(reading(vitals=None))["utilization.gpu"] == "not_read"


def test_sources_reason_precedes_the_default():
    gpu = reading(vitals=vitals(unavailable={"temperature.memory": "implausible"}))
    reasons = reasons_of(gpu)
    assert reasons["temperature.memory"] == "implausible"
    assert reasons["fan_speed"] == "unsupported"


def test_reason_of_a_group_applies_to_its_fields():
    condition = GPUCondition(ecc=ECCErrors(), unavailable={"ecc": "no_permission", "ecc.enabled": "implausible"})
    unavailable = reasons_of(reading(condition=condition))
    assert unavailable["ecc.corrected_volatile"] == "no_permission"
    assert unavailable["ecc.enabled"] == "implausible"


def test_derived_value_has_the_reason_of_its_origin():
    unknown = vitals(
        memory_used_mb=None,
        memory_free_mb=None,
        unavailable={"memory.used": "implausible", "memory.free": "implausible"},
    )
    unavailable = reasons_of(reading(vitals=unknown))
    assert unavailable["memory.utilization"] == "implausible"
    assert unavailable["memory.free_gb"] == "implausible"
