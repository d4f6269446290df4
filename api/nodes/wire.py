"""Conversion between snapshots of GPUs and the reports of nodes. Pure functions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from api.domain.machines.node import REPORT_FORMAT, GPUReport, MachineReport, NodeLocation
from api.domain.machines.reading import XidEvent
from api.domain.machines.shared_storage import StorageReport
from api.domain.reason import ReasonOrText, ReportedMessage, code_of, message_of, text_of
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.util.clock import Mark
from api.util.copying import copy_fields


def make_report(
    snapshot: GPUSnapshot,
    place: NodeLocation,
    version: str,
    interval: float,
    now: float,
    at: datetime,
    clock_offset: float | None = None,
    xids: Sequence[XidEvent] = (),
    leaves: bool = False,
    storage: StorageReport | None = None,
    mark: Mark | None = None,
) -> MachineReport:
    """Return the report on a snapshot at the monotonic time `now`, which is `at` by the node's clock.

    `mark` is the same moment as the time since the machine's boot.
    """
    return copy_fields(
        MachineReport,
        snapshot,
        format=REPORT_FORMAT,
        version=version,
        place=place,
        interval=interval,
        gpus=tuple(_to_report(gpu, now) for gpu in snapshot.gpus),
        problem=_to_reported_message(snapshot.problem),
        sent_at=at.timestamp(),
        clock_offset=clock_offset,
        xids=tuple(xids),
        leaves=leaves,
        storage=storage,
        boot="" if mark is None else mark.boot_id,
        uptime=None if mark is None else round(mark.seconds, 6),
    )


def encode_report(report: MachineReport) -> bytes:
    """Return the report as JSON."""
    return orjson.dumps(report, default=_list, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def _list(value: Any) -> list[int]:
    if not isinstance(value, frozenset):
        raise TypeError(f"{type(value).__name__} cannot be part of a report")
    return sorted(value)


def _to_report(gpu: GPUReading, now: float) -> GPUReport:
    return copy_fields(
        GPUReport,
        gpu,
        fault_reason=_to_reported_message(gpu.fault_reason),
        age=None if gpu.read_monotonic is None else round(max(0.0, now - gpu.read_monotonic), 3),
    )


def _to_reported_message(message: ReasonOrText | None) -> ReportedMessage | None:
    return None if message is None else ReportedMessage(text_of(message), code_of(message))


def take_report(
    name: str, report: MachineReport, received_at: float, now: datetime, has_reported: bool = True
) -> NodePart:
    """Return the snapshot of a report that came at the monotonic time `received_at`, which is `now` by the clock here.

    Times are computed from the ages in the report, without the node's clock. If `has_reported` is false, the report was
    read from the database and its age is unknown, so that no reading in it is fresh.
    """
    gpus = tuple(_read(gpu, received_at if has_reported else None, now) for gpu in report.gpus)
    snapshot = copy_fields(
        GPUSnapshot,
        report,
        gpus=gpus,
        taken_at=now,
        taken_monotonic=received_at,
        problem=_read_message(report.problem),
    )
    return NodePart(name, snapshot, received_at, report.leaves, has_reported, report.boot)


def _read(gpu: GPUReport, received_at: float | None, now: datetime) -> GPUReading:
    return copy_fields(
        GPUReading,
        gpu,
        fault_reason=_read_message(gpu.fault_reason),
        read_at=None if gpu.age is None else now - timedelta(seconds=gpu.age),
        read_monotonic=None if gpu.age is None or received_at is None else received_at - gpu.age,
    )


def _read_message(message: ReportedMessage | None) -> ReasonOrText | None:
    return None if message is None else message_of(message.text, message.said)
