"""One GPU fails or hangs: it has a reason, the others stay correct and fresh, and it recovers."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.server import BASE, ServerProcess, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

MINUTE_MS = 60_000
COUNT = 4


def temperatures(machine: StandIn) -> None:
    """Return GPUs with different temperatures."""
    for index in range(COUNT):
        machine.set(index, "temperature", 40 + index)


@pytest.fixture(scope="module")
def lasting(lasting_machine: StandIn, lasting_serve: Serve) -> ServerProcess:
    """Four GPUs with one server, for the tests of this file that restore them."""
    lasting_machine.add_gpus(COUNT)
    return lasting_serve()


@pytest.fixture
def gpus(lasting_machine: StandIn, lasting: ServerProcess) -> Iterator[StandIn]:
    """The same GPUs, working. Hanging calls are released at the end."""
    temperatures(lasting_machine)
    until(lambda: all(is_working(gpu["gpu_id"])(gpu) for gpu in lasting.gpus()) and len(lasting.gpus()) == COUNT)
    yield lasting_machine
    lasting_machine.restore()
    for lease in lasting.get("/gpu/tasks")["tasks"]:
        lasting.client.delete(f"{BASE}/gpu/tasks/{lease['task_id']}")


@pytest.fixture
def server(gpus: StandIn, lasting: ServerProcess) -> ServerProcess:
    """The server of working GPUs."""
    return lasting


@pytest.fixture
def new_gpus(machine: StandIn) -> Iterator[StandIn]:
    """Four GPUs without a server."""
    machine.add_gpus(COUNT)
    yield machine
    machine.restore()


def available(server: ServerProcess) -> list[int]:
    return sorted(g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"])


def others_than(index: int) -> list[int]:
    return [i for i in range(COUNT) if i != index]


class Watch:
    """Polls the status continuously, and stores every answer with its duration."""

    def __init__(self, server: ServerProcess) -> None:
        self.answers: list[dict[str, Any]] = []
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._url = f"http://127.0.0.1:{server.port}/api/v1/gpu/status"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self._stop.wait(0.02):
                began = time.perf_counter()
                try:
                    response = client.get(self._url)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                self.seconds.append(time.perf_counter() - began)
                if response.status_code != 200:
                    self.failures.append(response.text)
                    continue
                self.answers.append(response.json()["data"])

    def wrong(self, index: int, is_right: Callable[[dict[str, Any]], bool]) -> list[Any]:
        """Return the wrong values of a GPU."""
        seen = [gpu for answer in self.answers for gpu in answer["gpus"] if gpu["gpu_id"] == index]
        return [(g["status"], g["status_reason"], g["temperature"]["gpu"], g["stale"]) for g in seen if not is_right(g)]

    def wrongs(self, indices: list[int]) -> dict[int, list[Any]]:
        """Return the first wrong value of each of these GPUs, by number. There must be at least one answer."""
        assert self.answers
        return {index: wrong[:3] for index in indices if (wrong := self.wrong(index, is_working(index)))}

    def p95(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.95)]


def is_working(index: int) -> Callable[[dict[str, Any]], bool]:
    return lambda gpu: gpu["status"] == "available" and gpu["temperature"]["gpu"] == 40 + index and not gpu["stale"]


# -- lost --------------------------------------------------------------------------------------------------------------


def test_lost_gpu_has_a_reason_and_is_not_offered_while_the_others_stay_correct(
    gpus: StandIn, server: ServerProcess
) -> None:
    before = server.gpu(2)
    with Watch(server) as watch:
        gpus.lose(2)
        until(lambda: server.gpu(2)["status"] == "lost", timeout=3)
        assert available(server) == others_than(2)
        assert (server.gpu(2)["uuid"], server.gpu(2)["name"]) == (before["uuid"], before["name"])
        details = server.details(2)
        assert (details["temperature"]["gpu"], details["memory"]["used"]) == (None, None)
        assert details["unavailable"]["temperature.gpu"] == "lost"
        health = details["health"]
        assert health["verdict"] == "unhealthy"
        assert health["reasons"]
        assert health["suggested_actions"]
        answer = server.register(gpu_ids=[2])
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "gpu_lost")
        # Long enough for several reinitialisations.
        time.sleep(2.8)
    assert watch.failures == []
    assert watch.wrongs(others_than(2)) == {}
    # The source as a whole does not fail.
    assert {answer["source_problem"] for answer in watch.answers} == {None}


def test_returning_gpu_is_offered_again_and_loss_and_return_are_events_of_that_gpu_only(
    gpus: StandIn, server: ServerProcess
) -> None:
    before = len(server.events(type="status"))
    gpus.lose(2)
    until(lambda: server.gpu(2)["status"] == "lost", timeout=3)
    gpus.restore(2)
    until(lambda: available(server) == list(range(COUNT)), timeout=5)
    events = server.events(type="status")
    changes = [(e["gpu_id"], e["previous"], e["current"]) for e in events[: len(events) - before]]
    assert changes == [(2, "lost", "available"), (2, "available", "lost")]


def test_task_keeps_its_lost_gpu(gpus: StandIn, server: ServerProcess) -> None:
    server.register(gpu_ids=[2], task_id="unlucky")
    gpus.lose(2)
    until(lambda: server.gpu(2)["status"] == "lost", timeout=3)
    assert server.gpu(2)["current_task"]["task_id"] == "unlucky"


def test_gpu_lost_at_the_start_does_not_hide_the_others_and_is_found_when_it_returns(
    new_gpus: StandIn, serve: Serve
) -> None:
    new_gpus.lose(0)
    server = serve()
    until(lambda: available(server) == [1, 2, 3])
    assert (server.gpu(0)["status"], len(server.gpus())) == ("lost", COUNT)
    new_gpus.restore(0)
    until(lambda: available(server) == list(range(COUNT)), timeout=5)


def test_gpus_can_be_lost_one_by_one_until_the_last(gpus: StandIn, server: ServerProcess) -> None:
    for index in range(COUNT):
        gpus.lose(index)
        until(lambda index=index: available(server) == list(range(index + 1, COUNT)), timeout=3)
    assert [g["status"] for g in server.gpus()] == ["lost"] * COUNT


@pytest.mark.parametrize(("code", "words"), [(4, "may not read"), (16, "reset")])
def test_gpu_without_permission_is_unknown_with_the_reason_while_the_others_stay_correct(
    gpus: StandIn, server: ServerProcess, code: int, words: str
) -> None:
    with Watch(server) as watch:
        gpus.fail("*", code, 1)
        shown = until(lambda: server.gpu(1) if server.gpu(1)["status"] != "available" else None, timeout=3)
        assert (shown["status"], shown["is_available"]) == ("unknown", False)
        assert words in shown["status_reason"]
        time.sleep(2.8)
    assert watch.wrongs(others_than(1)) == {}


# -- hung --------------------------------------------------------------------------------------------------------------


def test_hung_gpu_becomes_unknown_without_affecting_the_others(gpus: StandIn, server: ServerProcess) -> None:
    with Watch(server) as watch:
        gpus.hang(1, MINUTE_MS)
        shown = until(lambda: server.gpu(1) if server.gpu(1)["status"] != "available" else None, timeout=4)
        assert (shown["status"], shown["stale"], shown["is_available"]) == ("unknown", True, False)
        assert "has not returned" in shown["status_reason"]
    assert watch.failures == []
    assert watch.p95() < 0.5
    assert watch.wrongs(others_than(1)) == {}


def test_hung_gpu_blocks_at_most_one_thread(gpus: StandIn, server: ServerProcess) -> None:
    before = server.threads()
    gpus.hang(1, MINUTE_MS)
    until(lambda: server.gpu(1)["status"] == "unknown", timeout=4)
    time.sleep(2)
    assert server.threads() <= before + 1


def test_changes_of_other_gpus_are_seen_while_one_hangs_and_it_recovers(gpus: StandIn, server: ServerProcess) -> None:
    gpus.hang(1, MINUTE_MS)
    until(lambda: server.gpu(1)["status"] == "unknown", timeout=4)
    until(lambda: server.client.get("/health/ready").status_code == 503, timeout=4)
    assert "GPU 1" in server.client.get("/health/ready").json()["error"]["detail"]
    gpus.set(0, "temperature", 77)
    until(lambda: server.gpu(0)["temperature"]["gpu"] == 77, timeout=2)
    gpus.restore(1)
    until(lambda: available(server) == list(range(COUNT)), timeout=3)


def test_gpu_hanging_at_the_start_does_not_delay_the_others_and_is_found_when_its_call_returns(
    new_gpus: StandIn, serve: Serve
) -> None:
    new_gpus.hang(3, MINUTE_MS)
    server = serve()
    until(lambda: available(server) == [0, 1, 2], timeout=4)
    assert server.gpu(3)["status"] == "unknown"
    new_gpus.restore(3)
    until(lambda: available(server) == list(range(COUNT)), timeout=3)


def test_driver_hanging_at_the_start_does_not_delay_the_server_and_is_used_when_it_answers(
    new_gpus: StandIn, serve: Serve
) -> None:
    new_gpus.delay("nvmlInitWithFlags", MINUTE_MS)
    server = serve()
    problem = until(lambda: server.get("/gpu/status")["source_problem"])
    assert server.client.get("/health").status_code == 200
    assert "not returned" in problem
    new_gpus.restore()
    until(lambda: available(server) == list(range(COUNT)), timeout=4)


def test_driver_hanging_later_makes_every_gpu_unavailable_and_recovers(gpus: StandIn, server: ServerProcess) -> None:
    gpus.delay("nvmlDeviceGetCount_v2", MINUTE_MS)
    until(lambda: available(server) == [], timeout=4)
    gpus.restore()
    until(lambda: available(server) == list(range(COUNT)), timeout=4)


def test_hanging_event_wait_blocks_nothing_else(new_gpus: StandIn, serve: Serve) -> None:
    # A reinitialisation waits half a second for the event wait, and a sweep half its interval for that.
    server = serve(GPU_MONITOR_INTERVAL="1.2", GPU_STATUS_CHECK_TIMEOUT="4")

    def has_event() -> bool:
        new_gpus.raise_xid(0, 999)
        return bool(server.events(type="xid"))

    temperatures(new_gpus)
    until(has_event)
    until(lambda: all(is_working(gpu["gpu_id"])(gpu) for gpu in server.gpus()))
    new_gpus.delay("nvmlEventSetWait_v2", MINUTE_MS)
    new_gpus.lose(2)
    until(lambda: server.gpu(2)["status"] == "lost", timeout=4)
    new_gpus.restore(2)
    with Watch(server) as watch:
        time.sleep(4)
    assert watch.wrongs(others_than(2)) == {}


def test_one_gpu_is_lost_while_another_hangs_and_both_return(gpus: StandIn, server: ServerProcess) -> None:
    gpus.hang(1, MINUTE_MS)
    until(lambda: server.gpu(1)["status"] == "unknown", timeout=4)
    gpus.lose(2)
    until(lambda: server.gpu(2)["status"] == "lost", timeout=3)
    assert available(server) == [0, 3]
    gpus.restore()
    until(lambda: available(server) == list(range(COUNT)), timeout=5)


def test_slow_gpu_is_shown_with_its_readings(gpus: StandIn, server: ServerProcess) -> None:
    # 40 calls of 10 ms take longer than a sweep waits, but each reading arrives.
    gpus.delay("*", 10, 1)
    gpus.set(1, "temperature", 66)
    until(lambda: server.gpu(1)["temperature"]["gpu"] == 66, timeout=4)
    assert server.gpu(1)["is_available"]


def test_no_failure_logs_a_traceback(gpus: StandIn, server: ServerProcess) -> None:
    gpus.lose(0)
    gpus.hang(1, 300)
    until(lambda: server.gpu(0)["status"] == "lost", timeout=3)
    gpus.restore()
    until(lambda: available(server) == list(range(COUNT)), timeout=5)
    assert server.tracebacks() == []
