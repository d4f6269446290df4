"""The catalogue of Xid errors: for each code its meaning, the effect on a training, and the advice.

Sources: NVIDIA's public catalogue and its use in gpud and nvidia_gpu_exporter. Codes that it lacks are DEGRADED, and
the driver's own recovery action decides.
"""
# A table is easier to read by rows.
# ruff: noqa: E501

from dataclasses import dataclass, replace
from enum import StrEnum

from api.domain.reason import Reason, ReasonOrText


class XidClass(StrEnum):
    """The effect of an Xid on its GPU."""

    FATAL = "fatal"  #: the GPU must not be offered
    DEGRADED = "degraded"  #: the GPU is offered, with the reason
    APPLICATION = "application"  #: the program's fault
    INFORMATION = "information"  #: no action needed


class Retry(StrEnum):
    """Whether to restart the training that was on the GPU automatically, from its last complete checkpoint."""

    OTHER = "start it again on another GPU"
    SAME = "start it again"
    NO = "it would fail again"
    NOT_NEEDED = "it goes on"

    @property
    def message(self) -> Reason:
        """The value as a sentence with its code."""
        return Reason.of(self.value, f"retry_{self.name.lower()}")


@dataclass(frozen=True, slots=True)
class Xid:
    """One kind of error. After `repeats` occurrences within a day its class is `repeated`."""

    meaning: ReasonOrText
    kind: XidClass
    retry: Retry
    advice: ReasonOrText
    repeats: int = 0
    repeated: XidClass | None = None
    by_program: bool = False  #: `repeats` counts the different tasks that caused it

    def kind_after(self, times: int) -> XidClass:
        """Return the class of this error after this many occurrences within a day."""
        return self.repeated if self.repeated is not None and times >= self.repeats else self.kind


_F, _D, _A, _I = XidClass.FATAL, XidClass.DEGRADED, XidClass.APPLICATION, XidClass.INFORMATION
_PROGRAM = "the program or its libraries; run compute-sanitizer, and suspect the GPU when it happens only here"
_COMMANDS = "update driver and libraries: bad commands reached the GPU"

_TABLE: tuple[tuple[str, Xid], ...] = (
    ("79", Xid("fell off the PCIe bus", _F, Retry.OTHER, "reboot; if it recurs, check power, seating and riser, then replace it")),
    ("48", Xid("uncorrectable memory error", _F, Retry.OTHER, "stop all programs on it and reset it; replace it if it recurs")),
    ("171 172", Xid("uncorrectable memory error with details", _F, Retry.OTHER, "stop all programs on it and reset it; replace it if it recurs")),
    ("95", Xid("uncontained memory error", _F, Retry.OTHER, "all results on it are suspect: stop all programs, reset it, resume from a checkpoint")),
    ("94", Xid("contained memory error", _D, Retry.SAME, "restart the program; reset the GPU when it is idle")),
    ("63", Xid("memory repair recorded", _I, Retry.NOT_NEEDED, "reset it when idle to finish the repair")),
    ("64", Xid("memory repair failed", _F, Retry.OTHER, "reset it once; if the failure stays, run diagnostics and replace the board")),
    ("92", Xid("many corrected memory errors", _D, Retry.NOT_NEEDED, "watch the rate, and test it when idle")),
    ("140", Xid("memory error that escaped handling", _F, Retry.OTHER, "stop all programs on it and reset it; call the vendor if it recurs")),
    ("156", Xid("compute resource retired", _F, Retry.OTHER, "reset it to finish the repair")),
    ("157", Xid("no spare compute resource left", _D, Retry.SAME, "plan a replacement")),
    ("160", Xid("memory channel marked for repair", _I, Retry.NOT_NEEDED, "reset it when idle")),
    ("161", Xid("memory channel could not be repaired", _D, Retry.NOT_NEEDED, "run NVIDIA's field diagnostic")),
    ("168", Xid("bad memory in the protected region", _D, Retry.SAME, "turn ECC on, then reboot")),
    ("62 169", Xid("micro-controller halted", _F, Retry.OTHER, "reset it, else reboot; switch the power off and on if that does not help")),
    ("119 120", Xid("system processor (GSP) failed", _F, Retry.OTHER, "reset it or switch the power off and on; if it repeats, change the driver version")),
    ("109", Xid("context switch timed out", _F, Retry.OTHER, "reset it, then update the driver: a kernel hung")),
    ("46 158", Xid("stopped processing", _F, Retry.OTHER, "reset it; call the vendor if it recurs")),
    ("167", Xid("PCIe fatal timeout", _F, Retry.OTHER, "reboot; check riser, slot and firmware")),
    ("143", Xid("failed to initialise", _F, Retry.OTHER, "reset, then reboot; replace it if it still fails")),
    ("110", Xid("security fault", _F, Retry.OTHER, "undo recent changes of the hardware, then switch the power off and on")),
    ("54", Xid("auxiliary power not connected", _F, Retry.OTHER, "plug in the board's power cable")),
    ("74", Xid("NVLink error", _F, Retry.OTHER, "reset both linked GPUs; check the bridge if it repeats")),
    ("136", Xid("NVLink training failed", _F, Retry.OTHER, "reset it; check the link's hardware")),
    ("144-150", Xid("NVLink 5 error", _D, Retry.OTHER, "read the kernel's message (`dmesg`); reset it if that says fatal")),
    ("155", Xid("NVLink went down", _D, Retry.OTHER, "reset it if the link stays down")),
    ("173", Xid("fatal link failure between processor and GPU", _F, Retry.OTHER, "reboot the machine; call the vendor if it recurs")),
    ("121", Xid("corrected link error between processor and GPU", _I, Retry.NOT_NEEDED, "reset it at the next maintenance")),
    ("159", Xid("link error between processor and GPU", _D, Retry.NOT_NEEDED, "reset it at the next maintenance")),
    ("137", Xid("NVLink access refused by the other GPU", _A, Retry.NO, "run compute-sanitizer or update NCCL: a peer-to-peer fault")),
    ("151", Xid("confidential computing: key rotation failed", _F, Retry.OTHER, "restart the virtual machine")),
    ("166 170", Xid("confidential computing error", _D, Retry.OTHER, "restart the virtual machine")),
    ("162 163", Xid("power smoothing changed", _I, Retry.NOT_NEEDED, "notify the operators of the power supply")),
    ("164 165", Xid("power smoothing is worn", _D, Retry.NOT_NEEDED, "notify the operators of the power supply")),
    ("154", Xid("recovery action changed", _I, Retry.OTHER, "follow the recovery action of the driver")),
    ("13", Xid("exception in a program", _A, Retry.NO, _PROGRAM, 3, _D, by_program=True)),
    ("31", Xid("illegal memory access of a program", _A, Retry.NO, _PROGRAM, 3, _D, by_program=True)),
    ("43", Xid("channel reset by a program's fault", _A, Retry.NO, "the program failed; the GPU is fine")),
    ("45", Xid("channels cleaned up after another error or a kill", _I, Retry.NOT_NEEDED, "follow the other Xid; alone it means that the program was killed")),
    ("8", Xid("channel idle timeout", _A, Retry.SAME, "restart: the GPU program hung", 3, _D)),
    ("11 25 69 80", Xid("bad command stream", _A, Retry.SAME, _COMMANDS, 3, _D)),
    ("32", Xid("DMA controller fault", _D, Retry.OTHER, "check PCIe seating and riser: it is usually not the program", 2, _F)),
    ("39-41 70-72 75-77 85 126-135", Xid("copy engine error", _D, Retry.SAME, "restart; call support if it repeats", 3, _F)),
    ("60 68 82-84 86 88 89 96-105 139 142", Xid("video engine error", _I, Retry.NOT_NEEDED, "nothing: training does not use it")),
    ("37 38 44 66 67 141", Xid("driver notice", _I, Retry.SAME, "update the driver if it repeats")),
    ("78", Xid("virtual GPU did not start", _D, Retry.NO, "update the drivers of host and guest")),
    ("93 14 106 107 152 153", Xid("notice", _I, Retry.NOT_NEEDED, "nothing")),
    ("1-7 9 10 12 15-24 26-30 33-36 42 47 49-53 55-59 61 65 73 81 87 90 91 108 111-118 122-125 138",
     Xid("not expected on today's GPUs", _D, Retry.SAME, "keep the kernel's log, and ask support")),
    ("174-185 999", Xid("newer than the catalogue", _D, Retry.SAME, "see the recovery action (`nvidia-smi -q`), and the driver's log")),
)  # fmt: skip


def _expand(codes: str) -> list[int]:
    found: list[int] = []
    for part in codes.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _named(xid: Xid, name: str) -> Xid:
    """Return the row with codes for its meaning and advice, derived from `name`."""
    reasons = Reason.of(str(xid.meaning), f"xid_{name}"), Reason.of(str(xid.advice), f"xid_{name}_advice")
    return replace(xid, meaning=reasons[0], advice=reasons[1])


#: All known Xids by number. The codes of a row with several numbers use the first.
CATALOGUE: dict[int, Xid] = {
    code: xid
    for codes, row in _TABLE
    for numbers, xid in [(_expand(codes), _named(row, str(_expand(codes)[0])))]
    for code in numbers
}

_UNKNOWN = _named(
    Xid("not in the catalogue", _D, Retry.SAME, "see the recovery action (`nvidia-smi -q`), and the driver's log"),
    "unknown",
)


def look_up(code: int) -> Xid:
    """Return the entry of an Xid; an unknown one never counts as harmless."""
    return CATALOGUE.get(code, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class RecoveryAction:
    """The recovery action that the driver requests (NVML's field 230, since driver 570), until it is done."""

    wants: Reason
    advice: Reason


def _action(wants: str, advice: str, name: int | str) -> RecoveryAction:
    return RecoveryAction(Reason.of(wants, f"recovery_{name}"), Reason.of(advice, f"recovery_{name}_advice"))


#: Recovery actions by NVML's number. 0 requests nothing and has no row.
RECOVERY_ACTIONS = {
    1: _action("a reset of the GPU", "stop all programs on it, then `nvidia-smi --gpu-reset`", 1),
    2: _action("a reboot of the machine", "reboot it", 2),
    3: _action("an end of peer-to-peer programs", "wait for them or stop them, switch UVM persistence off, and check again", 3),
    4: _action("a drain and a reset", "start no programs; when all have ended, `nvidia-smi --gpu-reset`", 4),
    5: _action("a recovery of the IMEX domain", "restart nvidia-imex on the machines of the domain", 5),
    6: _action("a reset of the bus", "reset its PCIe bus, or reboot the machine", 6),
    7: _action("a reboot of the system", "reboot it and the machines that it is linked to", 7),
}  # fmt: skip


def look_up_action(number: int) -> RecoveryAction | None:
    """Return the recovery action with this number of NVML; None for 0, which requests nothing."""
    if number == 0:
        return None
    return RECOVERY_ACTIONS.get(number) or _action("an unknown action", "see `nvidia-smi -q`", "unknown")


#: An error of a GPU: its machine, UUID and code.
XidKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class FatalXid:
    """An error because of which a GPU must not be offered until it is reset, stored across restarts."""

    times: int
    last_at: float  #: Unix seconds, for display
    boot: str = ""  #: the boot of the GPU's machine during which it occurred; empty if unknown
    was_action_asked: bool = False  #: the driver has requested a recovery action since
    energy_joules: float | None = None  #: the GPU's energy counter, which restarts when the driver is loaded
