"""Build the parts of a server with ROLE=node: GPUs, the client of the head, health and metrics."""

import logging
import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

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
from api.nodes.head import HeadLink
from api.nodes.http_head import HTTPHead
from api.nodes.reported_holders import ReportedHolders
from api.nodes.reporter import Reporter
from api.nodes.shared_probe import SharedProbe
from api.nodes.shared_storage import NodesOwnStorage
from api.nodes.store import read_machine
from api.util.clock import Clock, SystemClock
from api.web.guard import HostPolicy
from api.web.node import NodeShell


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
