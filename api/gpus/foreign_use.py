"""Who uses a GPU that no task holds, by its reading alone: listed processes, and memory that none of them explains."""

from collections.abc import Sequence

from api.domain.reading import GPUProcess, GPUVitals, ProcessKind
from api.domain.reason import Reason, Words
from api.gpus.snapshot import GPUReading

#: Foreign memory below which a GPU still counts as free, in MB. A CUDA context alone takes 300 to 500, so a compute
#: process above 100 is at work; a desktop's windows take several hundred and are no reason to refuse training.
FOREIGN_COMPUTE_MB = 100
FOREIGN_GRAPHICS_MB = 1024

#: Memory in use that no listed process explains, above which somebody unseen (another container) is at work.
UNEXPLAINED_MB = 1024


def is_in_use(gpu: GPUReading) -> bool:
    """Whether somebody works on a GPU, by what its reading shows alone."""
    return describe_use(gpu) is not None


def describe_use(gpu: GPUReading) -> Reason | None:
    """Who uses a GPU that no task holds, in words; None when nobody does."""
    vitals, processes = gpu.vitals, gpu.processes
    if vitals is None:
        return None
    for process in find_at_work(gpu):
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
    """The listed processes that hold more than a little memory of a GPU."""
    vitals = gpu.vitals
    return [] if vitals is None else [each for each in gpu.processes or () if _is_at_work(each, vitals)]


def has_unseen_use(gpu: GPUReading) -> bool:
    """Whether more is in use than the listed processes and the driver explain."""
    unexplained = None if gpu.vitals is None else _unexplained_mb(gpu.vitals, gpu.processes)
    return unexplained is not None and unexplained > UNEXPLAINED_MB


def _is_at_work(process: GPUProcess, vitals: GPUVitals) -> bool:
    if process.memory_mb is None:
        # Windows and WSL do not tell: only what the whole GPU has in use can decide.
        return _may_compute(process) and (vitals.memory_used_mb or 0) > UNEXPLAINED_MB
    limit = FOREIGN_COMPUTE_MB if _may_compute(process) else FOREIGN_GRAPHICS_MB
    return process.memory_mb > limit


def _may_compute(process: GPUProcess) -> bool:
    """Whether it does nothing but compute, as far as that is known."""
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
    memory: Words = Reason.of("an unknown amount of memory", "unknown_memory")
    if process.memory_mb is not None:
        memory = f"{process.memory_mb:,} MB"
    return show_process(who, memory, f": {process.command}" if process.command else "")


def show_process(who: str, memory: Words, command: str) -> Reason:
    """The words for a process that uses a GPU."""
    return Reason.of("{who} holds {memory}{command}", "process", who=who, memory=memory, command=command)
