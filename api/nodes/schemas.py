"""Schemas of requests and answers for nodes and servers."""

from typing import Any

from pydantic import ConfigDict, Field

from api.domain.machines.node import NodeInfo
from api.nodes.server_models import ServerInfo
from api.util.http.validation import Strict
from api.web.schemas import Name, Shown


class DrainNode(Strict):
    """A request to drain a node."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"reason": "replacing its fans"}})

    reason: Name = Field(min_length=1, description="the reason, shown with each of its GPUs")


class SendReport(Strict):
    """The report of a node."""

    model_config = ConfigDict(strict=True)

    report: dict[str, Any] = Field(description="the report of a server with ROLE=node of the same or the next version")


class NodeList(Shown):
    """A list of nodes."""

    nodes: list[NodeInfo]  #: all nodes


class ServerListing(Shown):
    """The servers on one database."""

    servers: list[ServerInfo]  #: all servers of this database
