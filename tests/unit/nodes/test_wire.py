"""Reports survive encoding and decoding."""

from dataclasses import replace

import orjson

from api.domain.machines.reading import XidEvent
from api.domain.machines.shared_storage import StorageReport
from api.domain.reason import Reason, ReasonCode, ReportedMessage
from api.nodes.report_check import read_report
from api.nodes.wire import encode_report, make_report, take_report
from tests.unit.builders import MONOTONIC, lost, process, reading, snapshot
from tests.unit.nodes.builders import NOW, PLACE, report


def test_report_survives_json():
    result = (reading(0, processes=(process(ancestors=frozenset({1, 2})),)), lost(1))
    part = take_report("gpu2", read_report(report(*result), "gpu2"), MONOTONIC + 100, NOW)
    first, second = part.snapshot.gpus
    assert (first.vitals, first.condition, first.identity) == (
        result[0].vitals,
        result[0].condition,
        result[0].identity,
    )
    assert first.processes == result[0].processes
    assert (second.fault, second.fault_reason) == (result[1].fault, result[1].fault_reason)


def test_age_of_a_reading_counts_from_the_arrival_of_the_report():
    old = replace(reading(0), read_monotonic=MONOTONIC - 7)
    part = take_report("gpu2", read_report(report(old), "gpu2"), 1000.0, NOW)
    (gpu,) = part.snapshot.gpus
    assert (part.reported_at, gpu.read_monotonic) == (1000.0, 993.0)
    assert (NOW - gpu.read_at).total_seconds() == 7


def test_report_has_driver_problem_and_xid_errors():
    seen = snapshot(reading(0), problem=Reason.of("it hangs", "driver_hangs"), problem_code=999)
    result = make_report(seen, PLACE, "1", 5.0, MONOTONIC, NOW, xids=[XidEvent("GPU-1", 79)])
    part = take_report("a", result, 1.0, NOW)
    assert (part.snapshot.problem, part.snapshot.problem_code) == (seen.problem, 999)
    assert result.xids == (XidEvent("GPU-1", 79),)


def test_report_has_the_probe_of_the_storage():
    found = StorageReport(
        "gpu2.1", 7, {"head.1": 3}, ReportedMessage("no", ReasonCode("storage_failing", {"why": "no"})), 2.0, 0.1
    )
    result = encode_report(make_report(snapshot(reading(0)), PLACE, "1", 5.0, MONOTONIC, NOW, storage=found))
    assert read_report(orjson.loads(result), "gpu2").storage == found
