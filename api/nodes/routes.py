"""Routes of nodes."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.domain.machines.node import NodeInfo, ReportReceipt
from api.nodes.schemas import DrainNode, NodeList, SendReport
from api.util.http.base_path import BASE_PATH
from api.web.responses import answer, services
from api.web.schemas import envelope_of

nodes = APIBlueprint("nodes", __name__, url_prefix=f"{BASE_PATH}/nodes", tag="Nodes")


@nodes.get("")
@nodes.output(envelope_of(NodeList))
def list_nodes() -> Response:
    """List the nodes, this server's own first.

    Each node has its state (`up`, `draining`, `down`, `unknown`) with the reason, its GPU counts, its tasks, its
    version, the time of its last report and its clock's offset. A node without a report for 15 s is `unknown`: it may
    still run.
    """
    return answer({"nodes": services().nodes.service.list()})


@nodes.get("/<name>")
@nodes.output(envelope_of(NodeInfo, "Node"))
@nodes.doc(responses=[404])
def get_node(name: str) -> Response:
    """Get a node.

    The answer is as in the list. `/gpu/status?node=` has its GPUs.
    """
    return answer(services().nodes.service.get(name))


@nodes.post("/<name>/drain")
@nodes.input(DrainNode)
@nodes.output(envelope_of(NodeInfo, "Node"))
@nodes.doc(responses=[400, 404, 415, 422, 503])
def drain_node(name: str, json_data: DrainNode) -> Response:
    """Drain a node, so that nothing new starts there.

    Running tasks continue, and the GPUs are `busy` for others until `undrain`. Draining again replaces the reason.
    """
    return answer(
        services().nodes.service.drain(name, json_data.reason, current_principal.get().actor), message="drained"
    )


@nodes.post("/<name>/undrain")
@nodes.output(envelope_of(NodeInfo, "Node"))
@nodes.doc(responses=[404, 503])
def undrain_node(name: str) -> Response:
    """Undrain a node, so that tasks can start there again.

    If the node is not drained, nothing changes.
    """
    return answer(services().nodes.service.undrain(name), message="undrained")


@nodes.delete("/<name>")
@nodes.output(envelope_of(NodeInfo, "Node"))
@nodes.doc(responses=[404, 409, 503])
def forget_node(name: str) -> Response:
    """Forget a node that no longer exists.

    The answer is 409 `node_is_there` while the node still reports.
    """
    return answer(services().nodes.service.forget(name), message="forgotten")


@nodes.post("/<name>/report")
@nodes.input(SendReport)
@nodes.output(envelope_of(ReportReceipt, "Receipt"))
@nodes.doc(responses=[400, 409, 415, 422])
def report_node(name: str, json_data: SendReport) -> Response:
    """Send a node's report to the head.

    A server with `ROLE=node` sends its report after each sweep of its GPUs. The answer 409 `node_name_taken` has the
    host of the other node with this name.
    """
    return answer(services().nodes.service.receive(name, json_data.report))
