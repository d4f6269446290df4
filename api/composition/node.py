"""Build the parts of a server with ROLE=node: GPUs, the client of the head, health and metrics."""

import logging
import re
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson

from api import __version__
from api.composition.composition import FIRST_SWEEP_SECONDS, allowed_names
from api.composition.gpu_source import create_source
from api.config import SETTINGS, Config, ConfigError
from api.domain.machines.node import NODE_NAME, NodeLocation
from api.domain.machines.system import Health, Readiness
from api.errors import Unavailable
from api.gpus.documents import MetricsOptions
from api.gpus.health.events import GPUEvents
from api.gpus.service import GPUService
from api.nodes.head import HeadLink, HeadRejected, HeadUnreachable
from api.nodes.reported_holders import ReportedHolders
from api.nodes.reporter import Reporter
from api.nodes.shared_probe import SharedProbe
from api.nodes.shared_storage import NodesOwnStorage
from api.nodes.store import read_machine
from api.util.clock import Clock, SystemClock
from api.util.files.outside_files import read_secret_file
from api.util.http.base_path import BASE_PATH
from api.util.http.bounded_answers import AnswerTooLong, TimedTransport, read_answer
from api.web.guard import HostPolicy
from api.web.node import NodeShell

#: The most bytes of a response that are read.
_MOST_BYTES = 2**20


class HTTPHead:
    """The head at an address. Its key file is read again after a 401, so that a new key needs no restart."""

    def __init__(self, address: str, key_file: Path | None) -> None:
        """Raise ConfigError if the key cannot be read."""
        self.address = address
        self._key_file = key_file
        self.key = self.read_key()  #: the present key
        # httpx would log a line for each report.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # The proxies of the environment are for external hosts, not for the head.
        self._client = httpx.Client(transport=TimedTransport(), trust_env=False, follow_redirects=False)

    def read_key(self) -> str | None:
        """Return the node's key, or None without a key file. Raises ConfigError."""
        if self._key_file is None:
            return None
        try:
            key = read_secret_file(self._key_file).content.decode().strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"NODE_KEY_FILE={self._key_file} cannot be read ({error})") from error
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError(f"NODE_KEY_FILE={self._key_file} contains no key")
        return key

    def send_report(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        try:
            status, body = self._post(name, report, timeout)
            if status == 401 and self._key_file is not None:
                self.key = self.read_key()
                status, body = self._post(name, report, timeout)
            data = orjson.loads(body)
        except (httpx.HTTPError, AnswerTooLong, ConfigError, orjson.JSONDecodeError) as error:
            raise HeadUnreachable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        if not isinstance(data, dict):
            raise HeadUnreachable("the response is not from a server of this service")
        if status != 200:
            error_fields = data.get("error") if isinstance(data.get("error"), dict) else {}
            code, detail = str((error_fields or {}).get("code", "unknown")), str(data.get("message", ""))[:500]
            raise HeadRejected(status, code, detail)
        receipt = data.get("data")
        return receipt if isinstance(receipt, dict) else {}

    def _post(self, name: str, report: bytes, timeout: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        address = f"{self.address}{BASE_PATH}/nodes/{name}/report"
        give_up_at = time.monotonic() + timeout
        with self._client.stream("POST", address, content=report, headers=headers, timeout=timeout) as answer:
            return answer.status_code, read_answer(answer, _MOST_BYTES, give_up_at)

    def close(self) -> None:
        self._client.close()


class NodeRuntime:
    """The parts of a node. The constructor starts nothing."""

    def __init__(self, config: Config, port: int, clock: Clock | None = None, head: HeadLink | None = None) -> None:
        """`port` is the listening port. Raises ConfigError if a part cannot be built."""
        self.config = config
        self.name = config.node_name or socket.gethostname()
        if not re.fullmatch(NODE_NAME, self.name):
            raise ConfigError(
                f'"{self.name[:80]}" is not a valid node name: set NODE_NAME to up to 63 letters, digits, "." and "-"'
            )
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._log_level = config.log_level
        ways = [HTTPHead(address, config.node_key_file) for address in config.head_url.split(",")]
        if config.needs_keys and config.node_key_file is None:
            raise ConfigError("AUTH=required on a node needs a key that protects its metrics: set NODE_KEY_FILE")
        holders = ReportedHolders(self.name)
        self.gpus = GPUService(
            create_source(config, self._clock),
            holders,
            self._clock,
            interval=config.gpu_monitor_interval,
            max_age=config.gpu_status_check_timeout,
            metrics=MetricsOptions(self._own_metrics, socket.gethostname() if config.dcgm_aliases else None),
            events=GPUEvents(),
        )
        place = NodeLocation(read_machine(), socket.gethostname(), port, secrets.token_hex(8))
        storage = NodesOwnStorage(SharedProbe(config.storage_root, self.name, self._clock), self._clock)
        heads = ways if head is None else [head]
        self.reporter = Reporter(place, heads, self.gpus, holders, self._clock, storage, self.use_settings)
        self.shell = NodeShell(
            HostPolicy(allowed_names(config)),
            lambda: self.gpus.documents,
            self.get_health,
            self.get_readiness,
            self._clock,
            (lambda: ways[0].key) if config.needs_keys else (lambda: None),
        )

    def use_settings(self, settings: Mapping[str, Any]) -> None:
        """Use the head's settings for nodes. This machine's environment wins."""
        level = self.config.log_level
        if not self.config.fixes("log_level"):
            with suppress(ValueError):
                level = SETTINGS["log_level"].metadata["parse"](str(settings.get("LOG_LEVEL", level)))
        if level != self._log_level:
            self._log_level = level
            logging.getLogger().setLevel(level)

    def get_health(self) -> Health:
        """Return the node's health, degraded while its head does not accept its reports."""
        uptime, problem = int(self._clock.monotonic() - self._began), self.reporter.problem
        health = Health(status="ok", version=__version__, uptime=uptime)
        return health if problem is None else replace(health, status="degraded", problems=(problem,))

    def get_readiness(self) -> Readiness:
        """Return whether the readings are current. Raises Unavailable."""
        readiness = self.gpus.get_readiness()
        if readiness.reasons:
            raise Unavailable("; ".join(readiness.reasons), data=readiness, headers={"Retry-After": "5"})
        return readiness

    def _own_metrics(self, is_open: bool) -> bytes:
        sent, failed = self.reporter.counts
        name = "diffusion_pipe_node_reports" + ("" if is_open else "_total")
        lines = [
            f"# HELP {name} Reports to the head.",
            f"# TYPE {name} counter",
            f'diffusion_pipe_node_reports_total{{result="taken"}} {sent}',
            f'diffusion_pipe_node_reports_total{{result="failed"}} {failed}',
            "# HELP diffusion_pipe_node_head_up Whether the head accepted the last report.",
            "# TYPE diffusion_pipe_node_head_up gauge",
            f"diffusion_pipe_node_head_up {int(self.reporter.problem is None)}",
        ]
        return ("\n".join(lines) + "\n" + ("# EOF\n" if is_open else "")).encode()

    def start(self) -> None:
        """Start reading the GPUs and reporting to the head."""
        self.gpus.start_monitoring()
        self.gpus.wait_for_first_sweep(FIRST_SWEEP_SECONDS)
        self.reporter.start()

    def stop(self) -> None:
        """Report to the head that this node stops, and stop reading."""
        self.reporter.stop()
        self.gpus.stop_monitoring()
