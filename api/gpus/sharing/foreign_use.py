"""Detect the use of a GPU without a task from its reading: listed processes, and unexplained memory."""

from collections.abc import Collection, Sequence

from api.domain.machines.reading import GPUProcess, GPUVitals, ProcessKind
from api.domain.reason import Reason, ReasonOrText
from api.gpus.snapshot import GPUReading

#: Memory in MB of foreign processes below which a GPU counts as free. A CUDA context alone takes 300 to 500, so a
#: compute process above 100 is working. A desktop's windows take several hundred, and must not prevent a training.
FOREIGN_COMPUTE_MB = 100
FOREIGN_GRAPHICS_MB = 1024

#: Memory in MB that no listed process explains, above which an invisible process (in another container) is assumed.
UNEXPLAINED_MB = 1024


def is_in_use(gpu: GPUReading, ignored: Collection[int] = ()) -> bool:
    """Return whether a GPU is in use, judged by its reading alone, without the processes with the ignored pids."""
    return describe_use(gpu, ignored) is not None


def describe_use(gpu: GPUReading, ignored: Collection[int] = ()) -> Reason | None:
    """Describe the use of a GPU that no task holds, without the ignored pids; None if it is not in use."""
    vitals, processes = gpu.vitals, gpu.processes
    if vitals is None:
        return None
    for process in find_at_work(gpu):
        if process.pid not in ignored:
            return _describe(process)
    unexplained = _unexplained_mb(vitals, processes)
    if unexplained is not None and unexplained > UNEXPLAINED_MB:
        return Reason.of(
            "{mb} MB are in use by a process that cannot be seen from here (another container?)",
            "unseen_process",
            mb=f"{unexplained:,}",
        )
    return None


def find_at_work(gpu: GPUReading) -> list[GPUProcess]:
    """Return the listed processes that hold a significant amount of a GPU's memory."""
    vitals = gpu.vitals
    return [] if vitals is None else [each for each in gpu.processes or () if _is_at_work(each, vitals)]


def has_unseen_use(gpu: GPUReading) -> bool:
    """Return whether more memory is in use than the listed processes and the driver explain."""
    unexplained = None if gpu.vitals is None else _unexplained_mb(gpu.vitals, gpu.processes)
    return unexplained is not None and unexplained > UNEXPLAINED_MB


def _is_at_work(process: GPUProcess, vitals: GPUVitals) -> bool:
    if process.memory_mb is None:
        # Windows and WSL do not report it: only the total memory in use can decide.
        return _may_compute(process) and (vitals.memory_used_mb or 0) > UNEXPLAINED_MB
    limit = FOREIGN_COMPUTE_MB if _may_compute(process) else FOREIGN_GRAPHICS_MB
    return process.memory_mb > limit


def _may_compute(process: GPUProcess) -> bool:
    """Return whether the process only computes, or its kind is unknown."""
    return process.kind in (ProcessKind.COMPUTE, ProcessKind.UNKNOWN)


def _unexplained_mb(vitals: GPUVitals, processes: Sequence[GPUProcess] | None) -> int | None:
    if vitals.memory_used_mb is None or vitals.memory_unified:
        return None
    listed = [process.memory_mb for process in processes or ()]
    if any(memory is None for memory in listed):
        return None
    return vitals.memory_used_mb - sum(memory for memory in listed if memory is not None)


def _describe(process: GPUProcess) -> Reason:
    who = f"pid {process.pid}" + (f" ({process.user})" if process.user else "")
    memory: ReasonOrText = Reason.of("an unknown amount of memory", "unknown_memory")
    if process.memory_mb is not None:
        memory = f"{process.memory_mb:,} MB"
    return show_process(who, memory, f": {process.command}" if process.command else "")


def show_process(who: str, memory: ReasonOrText, command: str) -> Reason:
    """Describe a process that uses a GPU."""
    return Reason.of("{who} holds {memory}{command}", "process", who=who, memory=memory, command=command)
