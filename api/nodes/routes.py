"""Machines: which there are, what each has, and whether anything new may start there."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access import current_principal
from api.nodes.schemas import DrainNode, NodeAnswer, NodeListAnswer, ReceiptAnswer, TellReport
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services

nodes = APIBlueprint("nodes", __name__, url_prefix=f"{BASE_PATH}/nodes", tag="Nodes")


@nodes.get("")
@nodes.output(NodeListAnswer)
def list_nodes() -> Response:
    """Every machine, this server's own first

    Whether it is there (`up`, `draining`, `down`, `unknown`) and why not, its GPUs in figures, its tasks, its version,
    when it was last heard and how far its clock is off. One that was not heard for 15 s is `unknown`: it may live.
    """
    return answer({"nodes": services().nodes.list()})


@nodes.get("/<name>")
@nodes.output(NodeAnswer)
@nodes.doc(responses=[404])
def get_node(name: str) -> Response:
    """One machine

    As in the list. Its GPUs are those of `/gpu/status?node=`.
    """
    return answer(services().nodes.get(name))


@nodes.post("/<name>/drain")
@nodes.input(DrainNode)
@nodes.output(NodeAnswer)
@nodes.doc(responses=[400, 404, 415, 422, 503])
def drain_node(name: str, json_data: DrainNode) -> Response:
    """Start nothing new on a machine

    What runs there goes on, and its GPUs are `busy` for everybody else until `undrain`. Draining one that is drained
    replaces the reason.
    """
    return answer(services().nodes.drain(name, json_data.reason, current_principal.get().actor), message="drained")


@nodes.post("/<name>/undrain")
@nodes.output(NodeAnswer)
@nodes.doc(responses=[404, 503])
def undrain_node(name: str) -> Response:
    """Let things be started on a machine again

    Where it was not drained, nothing changes.
    """
    return answer(services().nodes.undrain(name), message="undrained")


@nodes.delete("/<name>")
@nodes.output(NodeAnswer)
@nodes.doc(responses=[404, 409, 503])
def forget_node(name: str) -> Response:
    """Forget a machine that is no longer there

    One that is heard cannot be forgotten: 409 `node_is_there`.
    """
    return answer(services().nodes.forget(name), message="forgotten")


@nodes.post("/<name>/report")
@nodes.input(TellReport)
@nodes.output(ReceiptAnswer)
@nodes.doc(responses=[400, 409, 415, 422])
def tell_report(name: str, json_data: TellReport) -> Response:
    """Tell of a machine's GPUs

    What a server with `ROLE=node` sends after each sweep. 409 `node_name_taken` says on which host another one of this
    name runs.
    """
    return answer(services().nodes.receive(name, json_data.report))
