"""Check that a node's report is readable and plausible, before it is used."""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.domain.machines.node import MOST_XIDS, REPORT_FORMAT, GPUReport, MachineReport, fold_name
from api.domain.machines.reading import MAX_GPUS, MAX_MEMORY_MB, Clocks, GPUIdentity, GPUVitals
from api.domain.machines.shared_storage import PROBE_FILE, StorageReport
from api.errors import Finding, Invalid
from api.nodes.unknown_values import validate
from api.util.http.validation import describe_error, details_of, excess

#: The limits of a report: the longest text in characters, the depth, and the number of values.
LONGEST_TEXT = 2_000
DEEPEST = 10
MOST_VALUES = 200_000

#: The limit of mistakes in an answer.
_MAX_MISTAKES = 5

_PROBE = re.compile(PROBE_FILE)
_MOST_PROBES = 16
#: Versions and addresses appear in logs, messages and tables unescaped.
_PLAIN = re.compile(r"[\x20-\x7e]{1,255}")
_UUID = re.compile(r"[0-9A-Za-z:.\-]{1,80}")

#: The largest plausible numbers; the smallest is 0 unless noted otherwise.
_PERCENT = ("utilization_gpu", "utilization_memory", "utilization_encoder", "utilization_decoder", "fan_percent")
_MEMORY = ("memory_total_mb", "memory_used_mb", "memory_free_mb", "memory_reserved_mb")
_DEGREES = ("temperature_gpu", "temperature_memory")
_MOST = {
    **dict.fromkeys(_PERCENT, 250),
    **dict.fromkeys(_MEMORY, MAX_MEMORY_MB),
    **dict.fromkeys(_DEGREES, 1_000),
    "power_watts": 100_000,
}
_MOST_CLOCK = 32_000

#: The largest numbers of the report itself. A clock may show 1970, or be off by up to a thousand years.
_COUNTS = ("sequence", "stuck", "sweep_seconds", "uptime")
_MOST_OF_REPORT = {
    "sequence": 2**53,
    "stuck": MAX_GPUS,
    "sweep_seconds": 10**6,
    "clock_offset": 32 * 10**9,
    "sent_at": 64 * 10**9,
    "uptime": 32 * 10**9,
}

#: The limit of processes on one GPU, and the largest Xid; NVIDIA's catalogue ends far below.
_MOST_PROCESSES = 1_000
_MOST_XID = 65_535

#: The longest text of a GPU's identity, in characters.
_LONGEST_NAME = 255


@functools.cache
def _adapter() -> TypeAdapter[MachineReport]:
    return TypeAdapter(MachineReport)


def read_report(data: Mapping[str, Any], name: str) -> MachineReport:
    """Return the report of this node from a parsed JSON object. Raises Invalid with the mistakes."""
    problem = excess(data, depth=DEEPEST, count=MOST_VALUES, longest=LONGEST_TEXT)
    if problem is not None:
        raise Invalid("The report is too large.", mistakes=[Finding("/report", problem)])
    number = data.get("format")
    # The next version may only add fields, which are ignored. Later versions may change the format.
    if not isinstance(number, int) or not 1 <= number <= REPORT_FORMAT + 1:
        message = f"is {str(number)[:20]}, but this head reads {REPORT_FORMAT} and {REPORT_FORMAT + 1}"
        raise Invalid(
            "This head does not support the format of the report.",
            mistakes=[Finding("/report/format", message, "Update the older of the two; update the head first.")],
        )
    try:
        report = validate(_adapter(), MachineReport, data)
    except ValidationError as error:
        details = details_of(error)[:_MAX_MISTAKES]
        raise Invalid(
            "The report cannot be read.",
            mistakes=[Finding(_pointer(d["loc"]), describe_error(d).message[:200]) for d in details],
        ) from None
    found = itertools.islice(_implausible(report, name), _MAX_MISTAKES)
    mistakes = [Finding(where, what) for where, what in found]
    if mistakes:
        raise Invalid("The report is implausible.", mistakes=mistakes)
    return report


def _pointer(parts: Sequence[int | str]) -> str:
    return "/report" + "".join(f"/{str(part)[:64]}" for part in parts)


def _implausible_probe(storage: StorageReport | None, name: str) -> Iterator[tuple[str, str]]:
    if storage is None:
        return
    if len(storage.seen) > _MOST_PROBES or not _PROBE.fullmatch(storage.file):
        yield "/report/storage", f"must name the file of a probe, and at most {_MOST_PROBES} others"
    elif fold_name(storage.file.rpartition(".")[0]) != fold_name(name):
        yield "/report/storage/file", "must be a file of this node's own probe"


def _implausible_xids(report: MachineReport) -> Iterator[tuple[str, str]]:
    """Yield Xid errors of GPUs that the report does not list. A node reports its own GPUs only."""
    if len(report.xids) > MOST_XIDS:
        yield (
            "/report/xids",
            f"must be at most {MOST_XIDS}, not {len(report.xids):,}; send the rest with the next report",
        )
        return
    own = {gpu.identity.uuid for gpu in report.gpus if gpu.identity is not None}
    for number, event in enumerate(report.xids):
        if event.uuid is not None and event.uuid not in own:
            yield f"/report/xids/{number}/uuid", "must be the UUID of a GPU in this report"
        if not 0 <= event.xid <= _MOST_XID:
            yield f"/report/xids/{number}/xid", f"must be from 0 to {_MOST_XID:,}"


def _implausible_lists(gpu: GPUReport, where: str) -> Iterator[tuple[str, str]]:
    """Yield lists that are too long, because each entry becomes a series or a row."""
    condition, vitals = gpu.condition, gpu.vitals
    lists = {
        "processes": (gpu.processes, _MOST_PROCESSES),
        "vitals/throttle_reasons": (None if vitals is None else vitals.throttle_reasons, 64),
        "condition/mig_slices": (None if condition is None else condition.mig_slices, 64),
        "condition/nvlinks": (None if condition is None else condition.nvlinks, 64),
    }
    for name, (entries, most) in lists.items():
        if entries is not None and len(entries) > most:
            yield f"{where}/{name}", f"must be at most {most:,}, not {len(entries):,}"


def _implausible(report: MachineReport, name: str) -> Iterator[tuple[str, str]]:
    """Yield values that no machine can have."""
    if len(report.gpus) > MAX_GPUS:
        yield "/report/gpus", f"must be at most {MAX_GPUS}, not {len(report.gpus)}"
        return
    yield from _implausible_probe(report.storage, name)
    yield from _implausible_xids(report)
    if not 0.05 <= report.interval <= 3600:
        yield "/report/interval", "must be from 0.05 to 3,600 seconds"
    yield from _implausible_head(report)
    seen: set[str] = set()
    for number, gpu in enumerate(report.gpus):
        where = f"/report/gpus/{number}"
        if gpu.index is not None and not 0 <= gpu.index < 65_536:
            yield f"{where}/index", "must be from 0 to 65,535"
        uuid = None if gpu.identity is None else gpu.identity.uuid
        if uuid is not None and (not _UUID.fullmatch(uuid) or uuid in seen):
            yield f"{where}/identity/uuid", "must be unique and have only letters, digits, : . -"
        if uuid is not None:
            seen.add(uuid)
        if gpu.identity is not None and any(len(text) > _LONGEST_NAME for text in _names_in(gpu.identity)):
            yield f"{where}/identity", f"must have texts of at most {_LONGEST_NAME} characters"
        if gpu.age is not None and not 0 <= gpu.age <= 1e9:
            yield f"{where}/age", "must be at least 0"
        yield from _implausible_lists(gpu, where)
        if gpu.vitals is not None:
            yield from _implausible_vitals(gpu.vitals, f"{where}/vitals")


def _names_in(identity: GPUIdentity) -> Iterator[str]:
    """Return the texts of a GPU's identity, which become labels of its metrics."""
    return (value for each in fields(identity) if isinstance(value := getattr(identity, each.name), str))


def _implausible_head(report: MachineReport) -> Iterator[tuple[str, str]]:
    place = report.place
    if not 0 <= place.port <= 65_535 or not _PLAIN.fullmatch(place.host):
        yield "/report/place", "must have a valid host and port"
    plain = (f"{place.machine} {place.started} {report.boot}", report.version)
    if not all(map(_PLAIN.fullmatch, plain)):
        yield "/report", "must have plain text as version, machine, start and boot"
    for name, most in _MOST_OF_REPORT.items():
        value, least = getattr(report, name), 0 if name in _COUNTS else -most
        if value is not None and not least <= value <= most:
            yield f"/report/{name}", f"must be from {least:,} to {most:,}"


def _implausible_vitals(vitals: GPUVitals, where: str) -> Iterator[tuple[str, str]]:
    for name, most in _MOST.items():
        value = getattr(vitals, name)
        least = -most if name in _DEGREES else 0
        if value is not None and not least <= value <= most:
            yield f"{where}/{name}", f"must be from {least:,} to {most:,}"
    for clock in fields(Clocks):
        value = getattr(vitals.clocks, clock.name)
        if value is not None and not 0 <= value <= _MOST_CLOCK:
            yield f"{where}/clocks/{clock.name}", f"must be from 0 to {_MOST_CLOCK:,}"
