"""The catalogue of Xid errors: for each code what it means for the GPU, whether to try again, and what to do.

From NVIDIA's public catalogue and its field use (gpud, nvidia_gpu_exporter); codes that are not in it are DEGRADED, and
the driver's own recovery action decides.
"""
# A catalogue is read by rows.
# ruff: noqa: E501

from dataclasses import dataclass, replace
from enum import StrEnum

from api.domain.reason import Reason, Words


class XidClass(StrEnum):
    """What an Xid means for its GPU."""

    FATAL = "fatal"  #: it must not be offered
    DEGRADED = "degraded"  #: it can be had, with the reason
    APPLICATION = "application"  #: the program's fault
    INFORMATION = "information"  #: nothing to act on


class Retry(StrEnum):
    """Whether the training that was on the GPU should be started again by itself, from its last whole checkpoint."""

    OTHER = "start it again on another GPU"
    SAME = "start it again"
    NO = "it would fail again"
    NOT_NEEDED = "it goes on"

    @property
    def words(self) -> Reason:
        """The answer as a sentence with its code."""
        return Reason.of(self.value, f"retry_{self.name.lower()}")


@dataclass(frozen=True, slots=True)
class Xid:
    """One kind of error. Seen `repeats` times within a day it counts as `repeated` instead."""

    meaning: Words
    kind: XidClass
    retry: Retry
    advice: Words
    repeats: int = 0
    repeated: XidClass | None = None
    by_program: bool = False  #: what counts for `repeats` is how many different tasks met it

    def kind_after(self, times: int) -> XidClass:
        """The class of this error when it was seen `times` times within a day."""
        return self.repeated if self.repeated is not None and times >= self.repeats else self.kind


_F, _D, _A, _I = XidClass.FATAL, XidClass.DEGRADED, XidClass.APPLICATION, XidClass.INFORMATION
_PROGRAM = "the program or its libraries; run compute-sanitizer, and suspect the GPU when it happens only here"
_COMMANDS = "update driver and libraries: bad commands reached the GPU"

_TABLE: tuple[tuple[str, Xid], ...] = (
    ("79", Xid("fell off the PCIe bus", _F, Retry.OTHER, "reboot; if it returns, check power, seating and riser, then replace it")),
    ("48", Xid("uncorrectable memory error", _F, Retry.OTHER, "stop what runs on it and reset it; replace it if it returns")),
    ("171 172", Xid("uncorrectable memory error, told in detail", _F, Retry.OTHER, "stop what runs on it and reset it; replace it if it returns")),
    ("95", Xid("uncontained memory error", _F, Retry.OTHER, "everything on it is suspect: stop it all, reset, resume from a checkpoint")),
    ("94", Xid("contained memory error", _D, Retry.SAME, "start the program that met it again; reset the GPU when it is idle")),
    ("63", Xid("memory repair recorded", _I, Retry.NOT_NEEDED, "reset it when idle to finish the repair")),
    ("64", Xid("memory repair failed", _F, Retry.OTHER, "reset it once; if the failure stays, run diagnostics and replace the board")),
    ("92", Xid("many corrected memory errors", _D, Retry.NOT_NEEDED, "watch the rate, and test it when idle")),
    ("140", Xid("memory error that escaped handling", _F, Retry.OTHER, "stop what runs on it and reset it; call the vendor if it returns")),
    ("156", Xid("compute resource retired", _F, Retry.OTHER, "reset it to finish the repair")),
    ("157", Xid("no spare compute resource left", _D, Retry.SAME, "plan a replacement")),
    ("160", Xid("memory channel marked for repair", _I, Retry.NOT_NEEDED, "reset it when idle")),
    ("161", Xid("memory channel could not be repaired", _D, Retry.NOT_NEEDED, "run NVIDIA's field diagnostic")),
    ("168", Xid("bad memory in the protected region", _D, Retry.SAME, "turn ECC on, then reboot")),
    ("62 169", Xid("micro-controller halted", _F, Retry.OTHER, "reset it, else reboot; switch the power off and on if that does not help")),
    ("119 120", Xid("system processor (GSP) failed", _F, Retry.OTHER, "reset it or switch the power off and on; if it repeats, change the driver version")),
    ("109", Xid("context switch timed out", _F, Retry.OTHER, "reset it, then update the driver: a kernel hung")),
    ("46 158", Xid("stopped processing", _F, Retry.OTHER, "reset it; call the vendor if it returns")),
    ("167", Xid("PCIe fatal timeout", _F, Retry.OTHER, "reboot; check riser, slot and firmware")),
    ("143", Xid("failed to initialise", _F, Retry.OTHER, "reset, then reboot; replace it if it still fails")),
    ("110", Xid("security fault", _F, Retry.OTHER, "undo recent changes of the hardware, then switch the power off and on")),
    ("54", Xid("auxiliary power not connected", _F, Retry.OTHER, "plug in the board's power cable")),
    ("74", Xid("NVLink error", _F, Retry.OTHER, "reset both linked GPUs; check the bridge if it repeats")),
    ("136", Xid("NVLink training failed", _F, Retry.OTHER, "reset it; check the link's hardware")),
    ("144-150", Xid("NVLink 5 error", _D, Retry.OTHER, "look at the kernel's line (`dmesg`); reset it if that says fatal")),
    ("155", Xid("NVLink went down", _D, Retry.OTHER, "reset it if the link stays down")),
    ("173", Xid("fatal link failure between processor and GPU", _F, Retry.OTHER, "reboot the machine; call the vendor if it returns")),
    ("121", Xid("corrected link error between processor and GPU", _I, Retry.NOT_NEEDED, "reset it at the next maintenance")),
    ("159", Xid("link error between processor and GPU", _D, Retry.NOT_NEEDED, "reset it at the next maintenance")),
    ("137", Xid("NVLink access refused by the other GPU", _A, Retry.NO, "run compute-sanitizer or update NCCL: a peer-to-peer fault")),
    ("151", Xid("confidential computing: key rotation failed", _F, Retry.OTHER, "restart the virtual machine")),
    ("166 170", Xid("confidential computing error", _D, Retry.OTHER, "restart the virtual machine")),
    ("162 163", Xid("power smoothing changed", _I, Retry.NOT_NEEDED, "tell whoever runs the power")),
    ("164 165", Xid("power smoothing is worn", _D, Retry.NOT_NEEDED, "tell whoever runs the power")),
    ("154", Xid("recovery action changed", _I, Retry.OTHER, "do what the driver asks for")),
    ("13", Xid("exception in a program", _A, Retry.NO, _PROGRAM, 3, _D, by_program=True)),
    ("31", Xid("illegal memory access of a program", _A, Retry.NO, _PROGRAM, 3, _D, by_program=True)),
    ("43", Xid("channel reset by a program's fault", _A, Retry.NO, "the program failed; the GPU is fine")),
    ("45", Xid("channels cleaned up after another error or a kill", _I, Retry.NOT_NEEDED, "follow the other Xid; alone it means that the program was killed")),
    ("8", Xid("channel idle timeout", _A, Retry.SAME, "start again: the GPU program hung", 3, _D)),
    ("11 25 69 80", Xid("bad command stream", _A, Retry.SAME, _COMMANDS, 3, _D)),
    ("32", Xid("DMA controller fault", _D, Retry.OTHER, "check PCIe seating and riser: it is usually not the program", 2, _F)),
    ("39-41 70-72 75-77 85 126-135", Xid("copy engine error", _D, Retry.SAME, "start again; call support if it repeats", 3, _F)),
    ("60 68 82-84 86 88 89 96-105 139 142", Xid("video engine error", _I, Retry.NOT_NEEDED, "nothing: training does not use it")),
    ("37 38 44 66 67 141", Xid("driver notice", _I, Retry.SAME, "update the driver if it repeats")),
    ("78", Xid("virtual GPU did not start", _D, Retry.NO, "update the drivers of host and guest")),
    ("93 14 106 107 152 153", Xid("notice", _I, Retry.NOT_NEEDED, "nothing")),
    ("1-7 9 10 12 15-24 26-30 33-36 42 47 49-53 55-59 61 65 73 81 87 90 91 108 111-118 122-125 138",
     Xid("not expected on today's GPUs", _D, Retry.SAME, "keep the kernel's log, and ask support")),
    ("174-185 999", Xid("newer than the catalogue", _D, Retry.SAME, "see what the driver asks for (`nvidia-smi -q`), and its log")),
)  # fmt: skip


def _expand(codes: str) -> list[int]:
    found: list[int] = []
    for part in codes.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _named(xid: Xid, name: str) -> Xid:
    """The row with codes for its meaning and advice, made from `name`."""
    said = Reason.of(str(xid.meaning), f"xid_{name}"), Reason.of(str(xid.advice), f"xid_{name}_advice")
    return replace(xid, meaning=said[0], advice=said[1])


#: Every known Xid by its number; the sentences of a row that covers several are coded by the first.
CATALOGUE: dict[int, Xid] = {
    code: xid
    for codes, row in _TABLE
    for numbers, xid in [(_expand(codes), _named(row, str(_expand(codes)[0])))]
    for code in numbers
}

_UNKNOWN = _named(
    Xid("not in the catalogue", _D, Retry.SAME, "see what the driver asks for (`nvidia-smi -q`), and its log"),
    "unknown",
)


def look_up(code: int) -> Xid:
    """What an Xid's number means; an unknown one is never taken for harmless."""
    return CATALOGUE.get(code, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class RecoveryAction:
    """What the driver itself asks for (NVML's field 230, since driver 570); it stays set until it is done."""

    wants: Reason
    advice: Reason


def _action(wants: str, advice: str, name: int | str) -> RecoveryAction:
    return RecoveryAction(Reason.of(wants, f"recovery_{name}"), Reason.of(advice, f"recovery_{name}_advice"))


#: Recovery actions by NVML's number; 0, which asks for nothing, has no row.
RECOVERY_ACTIONS = {
    1: _action("a reset of the GPU", "stop what runs on it, then `nvidia-smi --gpu-reset`", 1),
    2: _action("a reboot of the machine", "reboot it", 2),
    3: _action("an end of peer-to-peer programs", "let them end or stop them, switch UVM persistence off, and look again", 3),
    4: _action("a drain and a reset", "start nothing new; when what runs has ended, `nvidia-smi --gpu-reset`", 4),
    5: _action("a recovery of the IMEX domain", "restart nvidia-imex on the machines of the domain", 5),
    6: _action("a reset of the bus", "reset its PCIe bus, or reboot the machine", 6),
    7: _action("a reboot of the system", "reboot it, and what it is linked to", 7),
}  # fmt: skip


def look_up_action(number: int) -> RecoveryAction | None:
    """What the driver asks for by this number of NVML's; None for 0, which asks for nothing."""
    if number == 0:
        return None
    return RECOVERY_ACTIONS.get(number) or _action(
        "something that this version does not know", "see `nvidia-smi -q`", "unknown"
    )


#: An error of a GPU: its machine, UUID and code.
XidKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class FatalXid:
    """An error for which a GPU must not be offered until it is reset: what a restart of this server must not forget."""

    times: int
    last_at: float  #: Unix seconds, for people
    boot: str = ""  #: the boot of the GPU's machine in which it came; empty: not known
    was_action_asked: bool = False  #: the driver has asked for a recovery action since
    energy_joules: float | None = None  #: the GPU's counter, which begins anew when the driver is loaded
