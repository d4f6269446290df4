"""What requests about machines may hold and what answers look like."""

from typing import Any

from pydantic import ConfigDict, Field

from api.domain.node import NodeInfo, ReportReceipt
from api.nodes.server_models import ServerInfo
from api.util.validation import Strict
from api.web.schemas import Envelope, Name, Shown


class DrainNode(Strict):
    """Why nothing new shall be started on a machine."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"reason": "its fans are replaced"}})

    reason: Name = Field(min_length=1, description="for people: it is shown with each of its GPUs")


class TellReport(Strict):
    """What a machine tells of its GPUs."""

    model_config = ConfigDict(strict=True)

    report: dict[str, Any] = Field(description="as a server with ROLE=node of the same or the next version makes it")


class NodeList(Shown):
    """Machines."""

    nodes: list[NodeInfo]


class NodeListAnswer(Envelope[NodeList]):
    """Every machine."""


class NodeAnswer(Envelope[NodeInfo]):
    """One machine."""


class ReceiptAnswer(Envelope[ReportReceipt]):
    """What the head says to a report."""


class ServerListing(Shown):
    """Servers on one database."""

    servers: list[ServerInfo]


class ServerListAnswer(Envelope[ServerListing]):
    """Every server on this database."""
