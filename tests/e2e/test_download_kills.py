"""The download program, killed during random faults: each file is complete or absent."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from api.jobs.downloads.request import DownloadRequest, RepositoryRequest
from api.jobs.kinds import REQUEST_FILE
from tests.lengths import length
from tests.local_hub import LocalHub, cutting, running_hub
from tests.unit.files.weights.stand_ins import header_bytes

#: The number of kills, and in full runs the number of the stated figure.
KILLS = length(200, 5)

#: Files of one repository; when all are complete, the next repository starts.
FILES = 6


def weights(seed: int) -> bytes:
    start, size = header_bytes({"w": [200_000 + seed]}, "U8")
    return start + random.Random(seed).randbytes(size)


#: A process that only forks, so that each start of the program does not load it again.
_FORKING = """
import os, sys
from pathlib import Path
from api.jobs.downloads.program import DownloadProgram

for line in sys.stdin:
    work, run = line.split()
    child = os.fork()
    if not child:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os._exit(DownloadProgram(Path(work), run).run())
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Starter:
    """Starts the program of one task."""

    def __init__(self, work: Path, root: Path, hub: LocalHub) -> None:
        self._work, self._root, self._hub = work, root, hub
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(Path.cwd())}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        )

    def start(self, repository: str, run: int) -> int:
        """Start the program and return its pid."""
        only = RepositoryRequest(repository, None, (), (), {})
        request = DownloadRequest(str(self._root), self._hub.address, (only,), (), (), False, 0)
        (self._work / REQUEST_FILE).write_text(json.dumps(request.as_json()))
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._work} run_{run}\n")
        self._process.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """Return its exit status."""
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def count_complete(root: Path, hub: LocalHub, repository: str) -> int:
    """Return the number of files, and fail if one of them is incomplete."""
    found = 0
    for path, content in hub.files[repository].items():
        place = root / repository / path
        if place.exists():
            assert place.read_bytes() == content, f"{path} is there and not whole"
            found += 1
    return found


def kill_at_random(pid: int, hub: LocalHub, chance: random.Random) -> None:
    """Kill the program after a random number of requests, or a second, and a random number of milliseconds."""
    wanted, ends = len(hub.requests) + chance.randrange(10), time.monotonic() + 1.0
    while len(hub.requests) <= wanted and time.monotonic() < ends:
        time.sleep(0.002)
    time.sleep(chance.random() * 0.02)
    # The process that forked it keeps it as a zombie until then, so the pid is not reused.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(length(1500, 120))
def test_kills_among_faults_leave_each_file_complete_or_absent(tmp_path: Path):
    chance, killed, run, repository = random.Random(7), 0, 0, "o/r0"
    root, work = tmp_path / "models", tmp_path / "work"
    work.mkdir()
    with running_hub() as hub, closing(Starter(work, root, hub)) as starter:
        hub.fault = cutting(11, 0.3)
        while killed < KILLS:
            if repository not in hub.files or count_complete(root, hub, repository) == FILES:
                repository = f"o/r{run}"
                for number in range(FILES):
                    hub.add(repository, f"{number}.safetensors", weights(run * FILES + number))
            kill_at_random(starter.start(repository, run), hub, chance)
            killed += starter.wait() == signal.SIGKILL
            count_complete(root, hub, repository)
            run += 1
        hub.fault = None
        starter.start(repository, run)
        assert starter.wait() == 0
        assert count_complete(root, hub, repository) == FILES
