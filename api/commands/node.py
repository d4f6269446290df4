"""The server with ROLE=node: no page, no queue, no public API."""

import logging

from api import __version__
from api.composition.node import NodeRuntime
from api.config import Config, ConfigError, refuse
from api.web.protocol import ListenError, listen
from api.web.serving import Server

logger = logging.getLogger("api")


class _NoStreams:
    """No live streams, as a node has none."""

    count = 0

    def close_soon(self) -> None:
        """Do nothing."""


def run_node(config: Config) -> int:
    """Serve until stopped. Returns the exit code: 0, 1 if the port is not available, 2 for an invalid setting."""
    try:
        listener = listen(config.host, config.port)
    except ListenError as error:
        return refuse(error)
    port = listener.getsockname()[1]
    try:
        runtime = NodeRuntime(config, port)
    except ConfigError as error:
        return refuse(error, 2)
    facts = {"version": __version__, "head": config.head_url, "node": runtime.name}
    server = Server(
        runtime.shell,
        _NoStreams(),
        on_started=lambda: logger.info("node listening on http://%s:%s", config.host, port, extra=facts),
        trusted_proxies=config.trusted_proxies,
    )
    runtime.start()
    try:
        server.run(sockets=[listener])
    finally:
        runtime.stop()
    logger.info("ended")
    return 0
