"""Failures of the stand-in, requested by words in WANDB_NOTES, a variable that a request may set.

trap=NAME   name of the failure, see below
step=5      step of the failure
rank=1      rank of the failure (the last one)
pace=0.02   seconds per step
end=0       seconds between its last message and its end; the real trainer takes 20 to 35
seconds=60  seconds that `slow_end` takes after SIGTERM
grief=1     a rank that loses the others reports it and ends, while NCCL would wait
"""

# ruff: noqa: T201 - its output is its interface

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import torch

#: Seconds after which a process that outlives the training ends, so that none stays forever.
HOLD_SECONDS = 600

_REQUESTED = dict(word.split("=", 1) for word in os.environ.get("WANDB_NOTES", "").split() if "=" in word)

NAME = _REQUESTED.get("trap", "")
STEP = int(_REQUESTED.get("step", "5"))
PACE = float(_REQUESTED.get("pace", "0.02"))
END_SECONDS = float(_REQUESTED.get("end", "0"))
SECONDS = float(_REQUESTED.get("seconds", "60"))
GRIEVES = _REQUESTED.get("grief") == "1"
RANK = int(os.environ.get("RANK", "0"))
IS_HERE = int(_REQUESTED.get("rank", int(os.environ.get("WORLD_SIZE", "1")) - 1)) == RANK

_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.12 GiB is "
    "free. Including non-PyTorch memory, this process has 22.50 GiB memory in use. Of the allocated memory 21.70 GiB "
    "is allocated by PyTorch, and 312.45 MiB is reserved by PyTorch but unallocated."
)
_SIGNALS = {"killed": signal.SIGKILL, "segfault": signal.SIGSEGV, "terminated": signal.SIGTERM}
_WORK = "WorkNCCL(SeqNum=17, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=1800000)"


def is_set(name: str) -> bool:
    """Return whether this failure is requested, for this rank."""
    return name == NAME and IS_HERE


def begin() -> None:
    """Prepare failures at the start."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if NAME == "slow_end":
        signal.signal(signal.SIGTERM, _end_slowly)


def before_step(step: int) -> None:
    """Fail before a step if requested."""
    if not IS_HERE or step != STEP:
        return
    if NAME == "error":
        raise RuntimeError("The size of tensor a (64) must match the size of tensor b (128) at dimension 1")
    if NAME == "cuda_oom":
        raise torch.OutOfMemoryError(_OUT_OF_MEMORY)
    if NAME == "nccl_timeout":
        _time_out()
    if NAME == "orphan":
        _leave_orphan()
    if NAME in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[NAME])


def loss_at(step: int, loss: float) -> float:
    """Return the loss, or NaN from the requested step on."""
    if NAME == "nan_then_error" and step == STEP + 15:
        raise RuntimeError("Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.")
    return float("nan") if NAME.startswith("nan") and step >= STEP else loss


def in_cache_process() -> None:
    """Fail in the process that reads the dataset if requested."""
    if NAME == "cache_process_hangs":
        time.sleep(HOLD_SECONDS)
    if NAME == "cache_process_fails":
        raise ValueError("Mask shape (512, 512) was not the same as image shape (768, 512).")


def in_cached_item() -> None:
    """Fail while encoding an item on the GPU if requested."""
    if NAME == "cache_cuda_oom" and RANK == 0:
        raise torch.OutOfMemoryError(_OUT_OF_MEMORY)


def in_evaluation(step: int) -> None:
    """Fail during an evaluation after the first step if requested."""
    if is_set("eval_cuda_oom") and step > 1:
        raise torch.OutOfMemoryError(_OUT_OF_MEMORY)


def fill_disk(path: Path) -> None:
    """Write a file to a full disk if requested."""
    if NAME == "disk_full":
        path.symlink_to("/dev/full")


def after_all() -> None:
    """Fail at the very end if requested."""
    if is_set("crash_at_exit"):
        os.kill(os.getpid(), signal.SIGSEGV)


def _end_slowly(*_: object) -> NoReturn:
    print(f"stand-in: rank {RANK} is requested to end", flush=True)
    time.sleep(SECONDS)
    os._exit(1)


def _time_out() -> NoReturn:
    place = f"[rank{RANK}]:[E{time.strftime('%m%d %H:%M:%S')}.103528571 ProcessGroupNCCL.cpp:"
    said = f"[Rank {RANK}] Watchdog caught collective operation timeout: {_WORK} ran for 1800029 milliseconds"
    group = f"[PG ID 0 PG GUID 0(default_pg) Rank {RANK}]"
    for line in (
        f"{place}629] {said} before timing out.",
        f"{place}681] {group} Some NCCL operations have failed or timed out. Due to the asynchronous nature of CUDA",
        f"{place}695] {group} To avoid data inconsistency, we are taking the entire process down.",
        "terminate called after throwing an instance of 'c10::DistBackendError'",
        f"  what():  {group} Process group watchdog thread terminated with exception: {said} before timing out.",
    ):
        print(line, file=sys.stderr, flush=True)
    os.abort()


def _leave_orphan() -> None:
    """Start a process of another session without parent and environment that ignores SIGTERM."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if (orphan := os.fork()) != 0:
            os.write(writer, str(orphan).encode())
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sleep", ["sleep", str(HOLD_SECONDS)], {})
    os.waitpid(child, 0)
    print(f"stand-in: left {os.read(reader, 20).decode()} behind", flush=True)
