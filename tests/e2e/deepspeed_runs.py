"""Runs of the stand-in under DeepSpeed's launcher: many at a time in one server, each inspected when it has ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from tests.e2e.server import BASE, ROOT, ServerProcess
from tests.e2e.toy_tasks import log_of
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in

TRAINER = ROOT / "tests" / "standin" / "trainer"

#: Seconds that a run may take from its request to its end, including its wait: two cores do all the work.
PATIENCE = 400.0

#: Seconds between two polls.
LOOK_SECONDS = 0.3

#: Images of a dataset, and so the steps of an epoch on one GPU.
IMAGES = 8

FINISHED = ("completed", "failed", "stopped")

#: Seconds; the names are those of the settings.
SETTINGS = {
    "SIMULATED_GPUS": "16x NVIDIA H100 80GB HBM3",
    "MAX_CONCURRENT_TASKS": "9",
    "HANG_QUIET_SECONDS": "30",
    "HANG_STEP_SECONDS": "120",
    "STOP_CHECKPOINT_SECONDS": "60",
    "STOP_TERMINATE_SECONDS": "20",
    "MIN_FREE_DISK_MB": "0",
}


def missing_reason(python: str | None) -> str | None:
    """Return why there is no launcher to test with, or None if there is one."""
    if not python:
        return "no environment with deepspeed is named: make test-launcher makes one"
    try:
        asked = [python, "-c", "import deepspeed.launcher.launch, toml"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"DEEPSPEED_PYTHON={python} cannot be run: {error}"
    if done.returncode:
        return f"DEEPSPEED_PYTHON={python} lacks what is needed: {done.stderr.strip().splitlines()[-1]}"
    return None


def settings_for(python: str) -> dict[str, str]:
    """Return the settings of a server that trains with the stand-in."""
    return {**SETTINGS, "DIFFUSION_PIPE_ROOT": str(TRAINER), "DIFFUSION_PIPE_PYTHON": python}


class Run:
    """One training, from its request to its end. For `trap` and its arguments see tests/standin/trainer/traps.py."""

    def __init__(self, server: ServerProcess, directory: Path, trap: str, pace: float, **more: Any) -> None:
        self._server = server
        self._client = httpx.Client(base_url=server.client.base_url, timeout=60, trust_env=False)
        self.directory = directory
        self.model = directory / "model.safetensors"
        self._make_files()
        traps = {"trap": trap, "pace": pace, **more.pop("traps", {})}
        self.body: dict[str, Any] = {
            "model_type": "sdxl",
            "name": directory.name,
            "env": {"WANDB_NOTES": " ".join(f"{name}={value}" for name, value in traps.items())},
            "config": {**self._config(more.pop("epochs", 2)), **more.pop("config", {})},
            "dataset": {"resolutions": [512], "directories": [{"path": str(directory / "images")}]},
            **more,
        }
        self.task_id = ""
        self.survivors: list[int] = []  #: processes alive when the end was reported

    def _make_files(self) -> None:
        images = self.directory / "images"
        images.mkdir(parents=True)
        for number in range(IMAGES):
            Image.new("L", (512, 512), number).save(images / f"{number}.png")
            (images / f"{number}.txt").write_text("a square")
        held_out = f"resolutions = [512]\n[[directory]]\npath = '{images}'\n"
        (self.directory / "held_out.toml").write_text(held_out)
        write_stand_in(self.model, STAND_INS["sdxl"])

    def _config(self, epochs: int) -> dict[str, Any]:
        return {
            "epochs": epochs,
            "eval": {"datasets": [{"name": "held_out", "config": str(self.directory / "held_out.toml")}]},
            "save": {"every_n_epochs": 1, "checkpoint_every_n_epochs": 1},
            "eval_every_n_epochs": 1,
            "model": {"dtype": "bfloat16", "checkpoint_path": str(self.model)},
            "adapter": {"type": "lora", "rank": 16, "dtype": "bfloat16"},
            "optimizer": {"type": "adamw", "lr": 0.0002},
        }

    # -- actions of a user ------------------------------------------------------------------------------------------

    def _post(self, path: str, body: Mapping[str, Any], expected: int) -> Any:
        answer = self._client.post(f"{BASE}/training{path}", json=body)
        assert answer.status_code == expected, answer.text
        return answer.json()["data"]

    def start(self) -> None:
        self.task_id = self._post("/start", self.body, 201)["task_id"]

    def stop(self, **how: Any) -> None:
        self._post(f"/stop/{self.task_id}", how, 202)

    def resume(self, **how: Any) -> None:
        self._post(f"/resume/{self.task_id}", how, 202)

    def refused_resume(self) -> str:
        """Return the error code of a resume."""
        answer = self._client.post(f"{BASE}/training/resume/{self.task_id}", json={})
        code: str = answer.json()["error"]["code"]
        return code

    def get(self, path: str = "", **query: Any) -> Any:
        answer = self._client.get(f"{BASE}/training/{self.task_id}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Wait until it has ended, and record the processes that are left at that moment."""
        self._until(lambda: self.get()["status"] in FINISHED, "the end")
        self.survivors = [process.pid for process in self.processes()]

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until its log contains a text this often."""
        self._until(lambda: self.log.count(text) >= times or self._has_ended(), repr(text))
        assert self.log.count(text) >= times, f"the run ended without {text!r}:\n{self.log[-2000:]}"

    def wait_for_step(self, step: int) -> None:
        """Wait until the service knows a step."""
        self._until(lambda: (self.get("/progress")["progress"]["current_step"] or 0) >= step, f"step {step}")

    def wait_for_warning(self, text: str) -> None:
        """Wait until the service warns with a message that contains a text."""
        self._until(lambda: text in (self.get()["warning"] or ""), f"a warning about {text}")

    def wait_for_port(self) -> int:
        """Wait until its ranks have a port that none of them has opened yet."""
        port: int = self._until(lambda: [one["master_port"] for one in self.get()["attempts"]], "a port")[0]
        return port

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < end, f"timeout waiting for {what}; its log ends with:\n{self.log[-3000:]}"
            # Many runs poll the same server at the same time.
            time.sleep(LOOK_SECONDS)
        return value

    def _has_ended(self) -> bool:
        return self.get()["status"] in FINISHED

    # -- observation from outside -----------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        return log_of(self._server.directory / "data", self.task_id) if self.task_id else ""

    @property
    def run_dir(self) -> Path:
        return Path(self._until(lambda: self.get()["run_dir"], "the run directory"))

    def processes(self) -> list[psutil.Process]:
        """Return the live processes that carry the marker of one of its attempts."""
        marked = {f"DPIPE_ATTEMPT_UID={one['attempt']}" for one in self.get()["attempts"]}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace")
                if marked & set(environment.split("\0")) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def signal_launcher(self, signum: signal.Signals) -> None:
        """Send a signal from outside the service."""
        os.kill(self.get()["attempts"][-1]["pid"], signum)

    @property
    def orphans(self) -> list[int]:
        """Return the processes that the trap left behind and that are still alive."""
        pids = [int(pid) for pid in re.findall(r"stand-in: left (\d+) behind", self.log)]
        return [pid for pid in pids if _runs(pid, "sleep")]

    @property
    def devices(self) -> list[str]:
        """Return CUDA_VISIBLE_DEVICES as each rank saw it."""
        return re.findall(r"stand-in: rank \d+ of \d+, local \d+, devices (\S+)", self.log)

    @property
    def steps(self) -> list[int]:
        """Return the reported steps, over all attempts."""
        return [int(step) for step in re.findall(r"^steps: (\d+) ", self.log, re.MULTILINE)]


def _runs(pid: int, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.name() == name and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def listening_on(port: int) -> Iterator[None]:
    """Listen on a port, as another program."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", port))
        other.listen()
        yield


@dataclass(frozen=True)
class Play:
    """The scenario of a run: its trap, and what is done to it meanwhile. Long ones start first."""

    trap: str = ""
    action: Callable[[Run], None] = Run.wait
    pace: float = 0.02
    first: bool = False
    partner: str | None = None  #: the run that it waits for
    more: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """Runs any number of scenarios in one server at the same time."""

    def __init__(self, directory: Path, python: str, plays: Mapping[str, Play]) -> None:
        self._directory = directory
        self._plays = plays
        self.server = ServerProcess(directory, settings_for(python))
        self._pool = ThreadPoolExecutor(max_workers=len(plays))
        self._futures: dict[str, Future[Run]] = {}

    def __enter__(self) -> "Stage":
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        # The run of a failed test may continue; its waiting thread gets no more answers.
        self.server.__exit__(None, None, None)
        self._pool.shutdown(cancel_futures=True)

    def begin_all(self, names: Iterable[str]) -> None:
        """Start these scenarios, the longest first."""
        for name in sorted(set(names), key=lambda name: (not self._plays[name].first, list(self._plays).index(name))):
            self._begin(name)

    def _begin(self, name: str) -> None:
        if name in self._futures:
            return
        play = self._plays[name]
        run = Run(self.server, self._directory / name, play.trap, play.pace, **play.more)
        run.start()
        self._futures[name] = self._pool.submit(_play, play.action, run)
        if play.partner is not None:
            self._begin(play.partner)

    def see(self, name: str) -> Run:
        """Return a run that has ended."""
        self._begin(name)
        return self._futures[name].result(timeout=PATIENCE)

    def see_all(self) -> Sequence[Run]:
        """Return all started runs, when the last one has ended."""
        return [self.see(name) for name in self._futures]


def _play(action: Callable[[Run], None], run: Run) -> Run:
    action(run)
    return run
