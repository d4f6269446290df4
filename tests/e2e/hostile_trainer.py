"""A trainer that tries all that a program of its user can. It prints one line of JSON, then ends as a training does.

It is executed instead of the toy's train.py; its last argument is a file with its targets.
"""

# ruff: noqa: T201 - its output is printed

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path


def attempt(action: Callable[[], object]) -> str:
    """Return `done`, or the name of the error."""
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def read(path: str) -> Callable[[], object]:
    def action() -> object:
        with open(path, "rb") as file:
            return file.read(1)

    return action


def write(path: str) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def read_memory(pid: int) -> Callable[[], object]:
    def action() -> object:
        with open(f"/proc/{pid}/maps") as maps:
            start = int(maps.read().split("-", 1)[0], 16)
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            memory.seek(start)
            return memory.read(1)

    return action


def attach(pid: int) -> None:
    """Attach with PTRACE_ATTACH."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def close(path: Path) -> None:
    """Create a file, and remove all permissions of the file and its directory."""
    path.parent.mkdir()
    path.write_text("mine")
    path.chmod(0)
    path.parent.chmod(0)


def become(uid: int) -> Callable[[], object]:
    return lambda: os.setresuid(uid, uid, uid)


def main(targets: dict[str, list]) -> dict[str, str]:
    actions: dict[str, Callable[[], object]] = {}
    for path in targets["read"]:
        actions[f"read {path}"] = read(path)
    for path in targets["list"]:
        actions[f"list {path}"] = lambda path=path: os.listdir(path)
    for path in targets["write"]:
        actions[f"write {path}"] = write(path)
    for pid in targets["pids"]:
        for name in ("environ", "mem", "cwd", "fd/1", "root/etc/hostname"):
            actions[f"read /proc/{pid}/{name}"] = read(f"/proc/{pid}/{name}")
        actions[f"memory of {pid}"] = read_memory(pid)
    for pid in targets["signal"]:
        actions[f"attach to {pid}"] = lambda pid=pid: attach(pid)
        actions[f"signal {pid}"] = lambda pid=pid: os.kill(pid, signal.SIGUSR1)
        actions[f"kill {pid}"] = lambda pid=pid: os.kill(pid, signal.SIGKILL)
    for uid in targets["uids"]:
        actions[f"become {uid}"] = become(uid)
    for path in targets["link"]:
        actions[f"link {path}"] = lambda path=path: os.link(path, f"{targets['output']}/linked")
    for path in targets["close"]:
        actions[f"close {path}"] = lambda path=path: close(Path(targets["output"]) / path)
    return {name: attempt(action) for name, action in actions.items()}


if __name__ == "__main__":
    targets = json.loads(Path(sys.argv[-1]).read_text())
    config = Path(sys.argv[sys.argv.index("--config") + 1])
    print("HOSTILE " + json.dumps(main({**targets, "output": str(config.parents[2] / "output")})), flush=True)
    print("status: " + json.dumps(Path("/proc/self/status").read_text().splitlines()), flush=True)
