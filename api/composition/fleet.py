"""Build the head's services for nodes and servers, and the seeds of simulated GPUs."""

import os
import secrets
import socket
import zlib

from api import __version__
from api.config import Config
from api.db.database import Database
from api.domain.machines.node import NodeLocation
from api.gpus.service import GPUService
from api.nodes.fleet_store import FleetStore
from api.nodes.server_identity import ServerIdentity
from api.nodes.server_models import StoredServer
from api.nodes.server_store import ServerStore
from api.nodes.servers import ServerList, server_id_of
from api.nodes.service import MOST_NODES, NodeService
from api.nodes.shared_probe import SharedProbe
from api.nodes.shared_storage import SharedStorage
from api.nodes.store import Node
from api.util.clock import Clock


def build_nodes(config: Config, database: Database, gpus: GPUService, clock: Clock, own: Node) -> NodeService:
    """Build the service of nodes without starting it."""
    place = NodeLocation(own.machine, socket.gethostname(), config.port, secrets.token_hex(8))
    shared = None
    if config.executor == "slurm":
        shared = SharedStorage(SharedProbe(config.storage_root, own.name, clock, MOST_NODES), clock)
        gpus.withhold_where(shared.why_not)
    return NodeService(FleetStore(database), gpus, clock, place, own.name, shared)


def build_servers(config: Config, database: Database, clock: Clock, own: Node) -> ServerList:
    """Build the list of servers on this database without starting it."""
    identity, now = ServerIdentity.own(own.name, config.storage_root.absolute()), clock.now()
    server = StoredServer(
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
    """Return the seed of simulated GPUs, which differs between nodes."""
    if config.role != "node":
        return config.simulated_seed
    return zlib.crc32(f"{config.simulated_seed}:{config.node_name or socket.gethostname()}".encode())
