"""Judge the health of a GPU from NVML's data and its Xid errors, with advice."""

from collections import Counter

from api.domain.machines.gpu import GPUHealth, Verdict
from api.domain.machines.reading import FaultKind
from api.domain.reason import Reason, ReasonOrText
from api.gpus.health.circumstances import GPUCircumstances
from api.gpus.health.xids import XidClass, look_up, look_up_action
from api.gpus.snapshot import GPUReading

#: Advice for a GPU that was read before and no longer responds.
_HANGING = Reason.of(
    "check it with `nvidia-smi` and `dmesg`; if it does not respond there either, reboot", "look_or_reboot"
)
#: The message for a lost GPU if the driver gives none.
LOST = Reason.of("the driver has lost this GPU", "driver_lost_it")
_RESET_WHEN_IDLE = Reason.of("reset it when idle: `nvidia-smi --gpu-reset`", "reset_when_idle")
_CHECK_AIR = Reason.of("check fans, dust and airflow", "check_air")

_VERDICT_BY_CLASS = {XidClass.FATAL: Verdict.UNHEALTHY, XidClass.DEGRADED: Verdict.DEGRADED}

#: Xids of links between GPUs: a GPU without active links can still be offered.
_NVLINK_XIDS = frozenset({74, 136})
#: Xids of a hung kernel, after which the driver decides whether the GPU must be reset.
_DRIVER_DECIDES = frozenset({109})

_Finding = tuple[Verdict, Reason, ReasonOrText]


def judge_health(gpu: GPUReading, around: GPUCircumstances, stale: bool) -> GPUHealth:
    """Return the verdict from NVML's data and the Xid errors since the GPU was last missing."""
    if gpu.fault is FaultKind.LOST:
        remedy = Reason.of(
            "reboot; if it happens again, check power, seating and cooling of the board", "reboot_and_check_board"
        )
        return GPUHealth.of(Verdict.UNHEALTHY, (gpu.fault_reason or LOST,), (remedy,))
    if around.problem is not None or gpu.fault is not None or stale or gpu.vitals is None:
        reason = around.problem or gpu.fault_reason or Reason.of("no fresh reading", "no_fresh_reading")
        hangs = stale and around.problem is None and gpu.fault is None and gpu.vitals is not None
        return GPUHealth.of(Verdict.UNKNOWN, (reason,), (_HANGING,) if hangs else ())
    findings = [*_recovery_findings(gpu), *_xid_findings(gpu, around), *_memory_findings(gpu), *_heat_findings(gpu)]
    if not findings:
        return GPUHealth(Verdict.HEALTHY)
    worst = Verdict.UNHEALTHY if any(f[0] is Verdict.UNHEALTHY for f in findings) else Verdict.DEGRADED
    return GPUHealth.of(worst, [reason for _, reason, _ in findings], [action for _, _, action in findings])


def _xid_findings(gpu: GPUReading, around: GPUCircumstances) -> list[_Finding]:
    findings: list[_Finding] = []
    if not around.xids:
        # The usual case among thousands of GPUs: counting nothing would take a tenth of the judgement's time.
        return findings
    for code, times in sorted(Counter(around.xids).items()):
        xid = look_up(code)
        verdict = _VERDICT_BY_CLASS.get(xid.kind_after(times))
        if verdict is Verdict.UNHEALTHY and _is_milder_here(code, gpu, around):
            verdict = Verdict.DEGRADED
        if verdict is not None:
            found = Reason.of("the driver reported Xid {xid} ({meaning})", "xid", xid=code, meaning=xid.meaning)
            findings.append((verdict, found, xid.advice))
    return findings


def _is_milder_here(code: int, gpu: GPUReading, around: GPUCircumstances) -> bool:
    if code in _NVLINK_XIDS:
        links = None if gpu.condition is None else gpu.condition.nvlinks
        return not any(link.active for link in links or ())
    if code in _DRIVER_DECIDES and gpu.vitals is not None and gpu.read_monotonic is not None:
        # Only a reading after the error is conclusive.
        return gpu.vitals.recovery_action == 0 and gpu.read_monotonic > around.last_xid_at
    return False


def _recovery_findings(gpu: GPUReading) -> list[_Finding]:
    number = None if gpu.vitals is None else gpu.vitals.recovery_action
    action = None if number is None else look_up_action(number)
    if action is None:
        return []
    request = Reason.of(
        "the driver requests {what} (recovery action {number})", "driver_asks", what=action.wants, number=number
    )
    return [(Verdict.UNHEALTHY, request, action.advice)]


def _memory_findings(gpu: GPUReading) -> list[_Finding]:
    findings: list[_Finding] = []
    condition = gpu.condition
    repair = None if condition is None else condition.repair
    ecc = None if condition is None else condition.ecc
    if repair is not None and repair.remapped_rows_failure:
        failed = Reason.of("a row of its memory could not be remapped", "row_not_remapped")
        findings.append((Verdict.UNHEALTHY, failed, Reason.of("replace the board", "replace_board")))
    if repair is not None and (repair.remapped_rows_pending or repair.retired_pages_pending):
        waits = Reason.of("a memory repair requires a reset", "repair_waits")
        findings.append((Verdict.DEGRADED, waits, _RESET_WHEN_IDLE))
    if ecc is not None and ecc.uncorrected_volatile:
        errors = Reason.of(
            "{count} uncorrectable memory errors since the driver was loaded",
            "uncorrectable_errors",
            count=ecc.uncorrected_volatile,
        )
        remedy = Reason.of("reset it when idle; replace it if the errors recur", "reset_or_replace")
        findings.append((Verdict.DEGRADED, errors, remedy))
    return findings


def _heat_findings(gpu: GPUReading) -> list[_Finding]:
    findings: list[_Finding] = []
    vitals, identity = gpu.vitals, gpu.identity
    if vitals is None:
        return findings
    slowdown = None if identity is None else identity.temperature_slowdown
    if slowdown is not None and vitals.temperature_gpu is not None and vitals.temperature_gpu >= slowdown:
        hot = Reason.of(
            "it is {celsius} °C hot and slows down at {slowdown}",
            "hot",
            celsius=vitals.temperature_gpu,
            slowdown=slowdown,
        )
        findings.append((Verdict.DEGRADED, hot, _CHECK_AIR))
    throttled = set(vitals.throttle_reasons or ())
    if "hw_thermal_slowdown" in throttled:
        findings.append(
            (Verdict.DEGRADED, Reason.of("its hardware slows it down because of heat", "slowed_for_heat"), _CHECK_AIR)
        )
    if "hw_power_brake_slowdown" in throttled:
        slowed = Reason.of("its hardware slows it down because of insufficient power", "slowed_for_power")
        remedy = Reason.of("check the power supply and its cables", "check_power")
        findings.append((Verdict.DEGRADED, slowed, remedy))
    return findings
