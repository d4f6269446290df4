"""A Prometheus for one test, which scrapes one server each second, with the rules of deploy/prometheus."""

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from tests.own_service import OwnService, end_process, find_program, free_port, wait_for

RULES = Path(__file__).parents[1] / "deploy" / "prometheus"

_CONFIGURATION = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs:
  - job_name: diffusion-pipe
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class OwnPrometheus(OwnService):
    """A Prometheus, started on entering and ended on leaving; the test is skipped if the program is missing."""

    def __init__(self, directory: Path) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._configuration = directory / "prometheus.yml"
        self.port = free_port()
        self._command = [
            find_program("prometheus"),
            f"--config.file={self._configuration}",
            f"--storage.tsdb.path={directory / 'series'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=error",
        ]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=20, trust_env=False)

    def scrape(self, port: int) -> None:
        """Configure the port to scrape, before the start."""
        rules = [str(RULES / name) for name in ("recording.yml", "alerts.yml", "alerts_optional.yml")]
        self._configuration.write_text(_CONFIGURATION.format(rules=rules, port=port))

    def _begin(self) -> None:
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=self._directory, stdout=log, stderr=log)
        wait_for(self._answers, lambda: "its own Prometheus does not answer", 60.0)

    def _end(self) -> None:
        self.client.close()
        end_process(self._process)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            return self.client.get("/status/buildinfo").is_success
        except httpx.HTTPError:
            return False

    def request(self, path: str, **parameters: str) -> Any:
        """Return the data of a response that must be a success."""
        answer = self.client.get(path, params=parameters)
        assert answer.is_success, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the current series of an expression."""
        found = self.request("/query", query=expression)
        return list(found["result"]) if found["resultType"] != "scalar" else [found["result"]]

    def query_range(self, expression: str, seconds: float = 60.0) -> list[Any]:
        """Return the series of an expression within the last minute."""
        now = time.time()
        return list(
            self.request("/query_range", query=expression, start=f"{now - seconds}", end=f"{now}", step="2")["result"]
        )
