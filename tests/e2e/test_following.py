"""Followers of a training's log lose and double nothing through cuts, kills and restarts."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api.executors.log_files import LogFiles
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.lengths import length

CUTS, KILLS = length(50, 25), length(10, 5)


@dataclass
class LogFollower:
    """The output that one reader has received over all its connections."""

    path: str
    last_id: str | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    connections: int = 0

    def read(self, server: TrainingServer, seconds: float) -> None:
        """Connect, continue at the last position, and disconnect after `seconds`, or earlier if the server ends."""
        headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        url = f"http://127.0.0.1:{server.port}{BASE}{self.path}"
        until_then = time.monotonic() + seconds
        try:
            with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as answer:
                assert answer.status_code == 200, answer.read()
                self.connections += 1
                for event in events(answer.iter_lines()):
                    self._take(event)
                    if self.end is not None or time.monotonic() > until_then:
                        return
        except httpx.TransportError:
            return

    def _take(self, event: dict[str, str]) -> None:
        message = orjson.loads(event["data"])
        if event.get("event") == "end":
            self.end = message["data"]
        elif message.get("type") == "log":
            self.lines += message["data"]["logs"]
        elif message.get("type") == "dropped":
            self.dropped.append(message["data"])
        self.last_id = event.get("id", self.last_id)


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            event[name] = value
        elif "data" in event:
            yield event
            event = {}
        else:
            event = {}


@pytest.mark.timeout(300)
def test_no_line_is_missing_or_doubled_over_cuts_kills_and_segments(tmp_path: Path):
    # Half a minute fills two segments of 2 MiB; on a slow machine the oldest may be removed after it was read.
    with TrainingServer(tmp_path / "server", LOG_MAX_BYTES=str(8 * 2**20)) as server:
        task_id = server.start_task(toy(10_000, step_seconds=0.1, every=None, knobs={"log_lines_per_step": 400}))
        server.await_status(task_id, "running")
        files = LogFiles(server.root / "tasks" / task_id / "log")
        seen, chance = LogFollower(f"/training/{task_id}/logs/stream?offset=0"), random.Random(4)
        for _ in range(KILLS):
            for _ in range(CUTS // KILLS):
                seen.read(server, chance.uniform(0.0, 0.4))
            reading = threading.Thread(target=seen.read, args=(server, 5.0))
            reading.start()
            time.sleep(chance.uniform(0.0, 0.3))
            server.kill()
            reading.join()
            server.start()
        until(lambda: files.end() > 2.5 * 2**20, LONG, "a second segment")
        server.stop_task(task_id, force=True)
        until(lambda: seen.read(server, 10.0) or seen.end, LONG, "the end")
        end, lines = files.end(), files.span().newlines
        assert files.starts()[-1] > 0
    assert seen.connections > CUTS
    assert seen.end is not None
    assert (seen.end["status"], seen.end["next_offset"]) == ("stopped", end)
    assert seen.dropped == []
    whole = [line for line in seen.lines if line["line_number"] <= lines]
    assert [line["line_number"] for line in whole] == list(range(1, lines + 1))
    numbered = [line["message"] for line in whole if line["message"].startswith("toy: step")]
    assert len(numbered) > 10_000
    assert numbered == [f"toy: step {n // 400 + 1}, line {n % 400 + 1} of 400" for n in range(len(numbered))]


def test_reader_that_connects_after_the_end_gets_everything_and_the_end(tmp_path: Path):
    with TrainingServer(tmp_path / "server") as server:
        task_id = server.start_task(toy(5))
        server.await_status(task_id, "completed")
        seen = LogFollower(f"/training/{task_id}/logs/stream?offset=0")
        seen.read(server, 10.0)
        again = LogFollower(f"/training/{task_id}/logs/stream", last_id=seen.last_id)
        again.read(server, 10.0)
    assert seen.lines[-1]["message"] == "TRAINING COMPLETE!"
    assert (again.lines, again.end) == ([], seen.end)


@pytest.mark.quick
def test_failure_is_reported_with_its_cause(tmp_path: Path):
    with TrainingServer(tmp_path / "server") as server:
        task_id = server.start_task(toy(20, knobs={"fail_at_step": 3}))
        seen = LogFollower(f"/training/{task_id}/logs/stream?offset=0")
        seen.read(server, LONG)
    assert seen.end is not None
    assert (seen.end["status"], seen.end["failure"]["code"], seen.end["exit_code"]) == ("failed", "trainer_error", 1)
    assert "error" in {line["level"] for line in seen.lines}


def test_disconnected_readers_leave_nothing_behind(tmp_path: Path):
    with TrainingServer(tmp_path / "server") as server:
        task_id = server.start_task(toy(2000, step_seconds=0.05, every=None))
        server.await_step(task_id, 3)
        seen = LogFollower(f"/training/{task_id}/logs/stream?offset=0")
        seen.read(server, 0.2)
        until(lambda: followers(server) == 0)
        before = server.files()
        for _ in range(30):
            seen.read(server, 0.02)
        until(lambda: followers(server) == 0)
        until(lambda: server.files() <= before + 3)
        assert server.tracebacks() == []
        server.stop_task(task_id, force=True)
        server.await_status(task_id, "stopped")


def followers(server: TrainingServer) -> float:
    return server.metrics()["diffusion_pipe_log_followers"]


def test_log_of_the_server_continues_over_a_restart(tmp_path: Path):
    with TrainingServer(tmp_path / "server") as server:
        server.client.get("/health", headers={"X-Request-ID": "before-1"})
        until(lambda: server.get("/system/logs/search", params={"keyword": "before-1"})["results"])
        server.kill()
        server.start()
        found = server.get("/system/logs/search", params={"regex": '"(listening on|request_id":"before-1)'})["results"]
        page = server.get("/system/logs", params={"offset": 0})
    assert len(found) >= 2
    assert [line["line_number"] for line in page["logs"]] == list(range(1, len(page["logs"]) + 1))
    assert sum("listening on" in line["message"] for line in page["logs"]) == 2
