"""Decode media files: the program `python -m api.files.media.child BYTES`, run by `decoder`.

Each request is a JSON line on standard input. Each answer is a JSON line on standard output, followed by as many bytes
as its `bytes` states. The kernel limits its memory (to BYTES of address space) and its time, and prevents it from
writing files. It exits at the end of its input, with the service.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from api.domain.datasets.media import Recipe
from api.files.media.perceptual import group_alike
from api.files.media.picture import as_trained, thumbnail
from api.files.media.probe import probe

MAX_LINE = 16 * 1024**2  #: most bytes of a request, enough for a million hashes

_NICENESS = 5  #: API requests have priority
_OPEN_FILES = 64

#: Resident memory in bytes above which the process is replaced.
_STALE_BYTES = 600 * 1024**2

Answer = tuple[dict[str, Any], bytes]


def main() -> int:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Output that a library prints must not mix with the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _limit(int(sys.argv[1]))
    while line := sys.stdin.buffer.readline(MAX_LINE):
        request = json.loads(line)
        _arm(float(request["seconds"]), float(request["patience"]))
        answer, payload = _answer(request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answers, answer, payload)
        if answer.get("is_last"):
            return 0
    return 0


def _answer(request: Mapping[str, Any]) -> Answer:
    try:
        answer, payload = _ACTIONS[request["do"]](request)
    except MemoryError:
        # The state of the process is unknown now: the next request gets a new one.
        return {"failed": "memory", "is_last": True}, b""
    if _resident_bytes() > _STALE_BYTES:
        answer["is_last"] = True
    return answer, payload


def _resident_bytes() -> int:
    # Not ru_maxrss, which includes the memory of the parent at the fork.
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _probe(request: Mapping[str, Any]) -> Answer:
    return {"probe": asdict(probe(Path(request["path"]), request.get("sha256")))}, b""


def _thumbnail(request: Mapping[str, Any]) -> Answer:
    return _drawn(lambda: thumbnail(Path(request["path"]), int(request["side"]), request.get("sha256")))


def _as_trained(request: Mapping[str, Any]) -> Answer:
    fields = dict(request["recipe"])
    recipe = Recipe(**{**fields, "box": tuple(fields["box"]), "frames": tuple(fields["frames"])})
    return _drawn(lambda: as_trained(Path(request["path"]), recipe, request["positions"], request.get("sha256")))


def _drawn(draw: Callable[[], bytes]) -> Answer:
    try:
        return {}, draw()
    except MemoryError:
        raise
    except Exception:
        # Decoders raise almost any exception on a hostile file.
        return {"failed": "no_picture"}, b""


def _group(request: Mapping[str, Any]) -> Answer:
    groups, is_whole = group_alike(request["hashes"], int(request["distance"]))
    return {"groups": groups, "is_whole": is_whole}, b""


_ACTIONS: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "probe": _probe,
    "group": _group,
    "thumbnail": _thumbnail,
    "as_trained": _as_trained,
}


def _limit(memory_bytes: int) -> None:
    bounds = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    for name, bound in bounds.items():
        resource.setrlimit(name, (bound, bound))
    os.nice(_NICENESS)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        # Not on Linux, or the file size limit applies: the memory limit holds anyway.
        return


def _arm(seconds: float, patience: float) -> None:
    """Make the kernel end this process if a request exceeds its processor time or its wall-clock time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 1, hard))
    signal.setitimer(signal.ITIMER_REAL, patience)


def _write(answers: BinaryIO, answer: Mapping[str, Any], payload: bytes) -> None:
    answers.write(json.dumps({**answer, "bytes": len(payload)}).encode() + b"\n" + payload)
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
