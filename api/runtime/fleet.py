"""What a head needs to know of other machines, put together; and how simulated ones differ."""

import os
import secrets
import socket
import zlib

from api import __version__
from api.config import Config
from api.models.node import NodePlace
from api.models.server import KeptServer
from api.services.gpus.service import GPUService
from api.services.nodes.service import MOST_NODES, NodeService
from api.services.nodes.shared_storage import SharedStorage
from api.services.server_identity import ServerIdentity
from api.services.servers import ServerList, server_id_of
from api.storage.database import Database
from api.storage.fleet import FleetStore
from api.storage.nodes import Node
from api.storage.servers import ServerStore
from api.storage.shared_probe import SharedProbe
from api.utils.clock import Clock


def build_nodes(config: Config, database: Database, gpus: GPUService, clock: Clock, own: Node) -> NodeService:
    """What is known of the machines; it starts nothing."""
    place = NodePlace(own.machine, socket.gethostname(), config.port, secrets.token_hex(8))
    shared = None
    if config.executor == "slurm":
        shared = SharedStorage(SharedProbe(config.storage_root, own.name, clock, MOST_NODES), clock)
        gpus.withhold_where(shared.why_not)
    return NodeService(FleetStore(database), gpus, clock, place, own.name, shared)


def build_servers(config: Config, database: Database, clock: Clock, own: Node) -> ServerList:
    """What is known of the servers on this database; it starts nothing."""
    identity, now = ServerIdentity.own(own.name, config.storage_root.absolute()), clock.now()
    server = KeptServer(
        server_id=server_id_of(identity.process),
        process=identity.process,
        node=own.name,
        host=socket.gethostname(),
        port=config.port or None,
        pid=os.getpid(),
        version=__version__,
        started_at=now,
        last_seen=now,
    )
    return ServerList(ServerStore(database), identity, server, clock)


def simulated_seed(config: Config) -> int:
    """The seed of simulated GPUs: each node has others."""
    if config.role != "node":
        return config.simulated_seed
    return zlib.crc32(f"{config.simulated_seed}:{config.node_name or socket.gethostname()}".encode())
