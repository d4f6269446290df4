"""Servers on one machine behind nginx, configured as in `deploy/nginx` and the deployment guide."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.server import until
from tests.e2e.training_server import LONG, TrainingServer
from tests.nginx_servers import OwnNginx

LEADS = "this server looks after the trainings"


@dataclass
class Site:
    """Two servers on one storage, of which the first led first, and what clients see of them."""

    servers: tuple[TrainingServer, TrainingServer]
    nginx: OwnNginx
    client: httpx.Client

    def leader_first(self) -> tuple[TrainingServer, TrainingServer]:
        """Return the leader and the other server, once one of them leads."""

        def last(server: TrainingServer) -> str:
            return max((line["time"] for line in server.log() if line["message"] == LEADS), default="")

        until(lambda: any(last(server) for server in self.servers), LONG, "a leader")
        first, second = sorted(self.servers, key=last, reverse=True)
        return first, second

    def count_leads(self, server: TrainingServer) -> int:
        """Return how often this server became the leader of trainings, over all its starts."""
        return sum(line["message"] == LEADS for line in server.log())

    def restart_both(self) -> None:
        """Restart the servers that a test has ended, on the ports that nginx knows."""
        dead = [server for server in self.servers if server.process is None or server.process.poll() is not None]
        for server in dead:
            server.start(server.port)
        if dead:
            until(self._all_answer, LONG, "both servers to be asked again")

    def _all_answer(self) -> bool:
        return all(self.receives_requests(server) for server in self.servers)

    def receives_requests(self, server: TrainingServer) -> bool:
        """Return whether nginx forwards requests to this server, by sending some and searching all logs."""
        mark = f"asked-{server.port}-{len(server.log_text())}"
        made = 4
        for _ in range(made):
            self.client.get("/api/v1/training/list?limit=1", headers={"X-Request-ID": mark})
        until_seen(self.servers, mark, 2.0, made)
        return bool(until_seen([server], mark, 0.0))


def until_seen(servers: Iterable[TrainingServer], request_id: str, timeout: float, count: int = 1) -> int:
    """Wait until the logs, written in batches, have `count` lines about a request; return their number at the end."""
    end = time.monotonic() + timeout
    while True:
        found = sum(line.get("request_id") == request_id for server in servers for line in server.log())
        if found >= count or time.monotonic() >= end:
            return found
        time.sleep(0.02)


@contextmanager
def site(directory: Path, **settings: str) -> Iterator[Site]:
    """Run two servers behind nginx until the block ends."""
    shared = {"STORAGE_ROOT": str(directory / "data"), "TRUSTED_PROXIES": "127.0.0.1", **settings}
    with ExitStack() as stack:
        first = stack.enter_context(TrainingServer(directory / "first", **shared))
        second = stack.enter_context(TrainingServer(directory / "second", **shared))
        nginx = stack.enter_context(OwnNginx([first.port, second.port]))
        client = httpx.Client(base_url=nginx.url, verify=nginx.trust, timeout=90, trust_env=False)
        yield Site((first, second), nginx, stack.enter_context(client))
