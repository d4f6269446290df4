"""What may go wrong in a toy training when it is asked for: errors, hangs, and processes that will not go away."""

# ruff: noqa: T201 - it speaks by what it prints

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

#: Seconds after which processes that hold on give up, lest one stays on a machine for ever.
HOLD_SECONDS = 600


class OutOfMemoryError(RuntimeError):
    """The name under which PyTorch says that the memory of a GPU was not enough."""

    __module__ = "torch"


class DistNetworkError(RuntimeError):
    """The name under which PyTorch says that its port is in use."""

    __module__ = "torch.distributed"


#: The exception for each value of `fail_with`, in the words of the real trainer.
ERRORS: dict[str, Callable[[], Exception]] = {
    "error": lambda: RuntimeError("the toy was asked to fail here"),
    "cuda_oom": lambda: OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB of which "
        "1.12 GiB is free. (the toy was asked to say so)"
    ),
    "port_in_use": lambda: DistNetworkError(
        "The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, "
        "code: -98, name: EADDRINUSE, message: address already in use"
    ),
    "missing_file": lambda: FileNotFoundError(2, "No such file or directory", "/models/toy/missing.safetensors"),
    "disk_full": lambda: OSError(28, "No space left on device"),
    "gpu_lost": lambda: RuntimeError("CUDA error: uncorrectable ECC error encountered"),
}

#: The signal for each value of `fail_with` that ends the process as the kernel or a crash would.
SIGNALS = {
    "host_oom": signal.SIGKILL,
    "terminated": signal.SIGTERM,
    "crash": signal.SIGSEGV,
    "nccl_timeout": signal.SIGABRT,
}

WATCHDOG = (
    "[rank0]:[E ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=12, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800003 milliseconds before timing out."
)


class Mishaps:
    """The mishaps that the table [toy] of a configuration asks for."""

    def __init__(self, toy: dict[str, Any], output_dir: Path) -> None:
        self._fail_at_step: int | None = toy.get("fail_at_step")
        self._fail_with: str = toy.get("fail_with", "error")
        self._fail_once: bool = toy.get("fail_once", False)
        self._mark = output_dir / ".toy_has_failed"
        self._hang_at_step: int | None = toy.get("hang_at_step")
        self._hang_in: str | None = toy.get("hang_in")

    def loss_at(self, step: int, loss: float) -> float:
        """The loss, or NaN where that was asked for."""
        is_nan = self._fail_with == "nan" and self._fail_at_step is not None and step >= self._fail_at_step
        return float("nan") if is_nan else loss

    def enter(self, stage: str) -> None:
        """Hangs in a stage; fails in the first one when the step to fail at is 0."""
        if self._hang_in == stage and (stage != "training" or self._hang_at_step is None):
            _hang()
        if stage == "loading":
            self.before_step(0)

    def before_step(self, step: int) -> None:
        """Hangs or fails before a step."""
        if step == self._hang_at_step:
            _hang()
        if step != self._fail_at_step or self._fail_with == "nan":
            return
        if self._fail_once:
            if self._mark.exists():
                return
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        fail(self._fail_with)


def fail(how: str) -> NoReturn:
    """Ends the process like the real trainer would."""
    if how in ERRORS:
        raise ERRORS[how]()
    if how == "quit":
        print("Manually quitting")
    if how == "nccl_timeout":
        print(WATCHDOG)
    if how in SIGNALS:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), SIGNALS[how])
    sys.exit(0)


def spawn_children(count: int, are_nasty: bool, hold_on: bool) -> None:
    """Starts processes that only wait. Nasty ones ignore SIGTERM; the first has a session of its own, the second no
    parent. Nasty ones, and those that are to hold on, outlive this process."""
    parent = os.getpid()
    for number in range(count):
        if os.fork():
            continue
        if are_nasty:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if are_nasty and number == 0:
            os.setsid()
        if are_nasty and number == 1 and os.fork():
            os._exit(0)
        _wait(lambda: hold_on or are_nasty or os.getppid() == parent)
    if are_nasty and count > 1:
        os.wait()


def _wait(is_wanted: Callable[[], bool]) -> NoReturn:
    # The pipes to the ranks must not be kept open by somebody else.
    os.closerange(3, 256)
    deadline = time.monotonic() + HOLD_SECONDS
    while is_wanted() and time.monotonic() < deadline:
        time.sleep(0.2)
    os._exit(0)


def _hang() -> NoReturn:
    while True:
        time.sleep(60)
