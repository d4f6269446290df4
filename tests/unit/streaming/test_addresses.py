import pytest

from api.errors import TaskNotFound
from api.gpus.stream import create_gpu_stream
from api.streaming.addresses import LiveRoute, LiveRoutes, Transport
from tests.unit.streaming.builders import Broker

OPEN = create_gpu_stream(Broker())
ROUTES = LiveRoutes(
    [
        LiveRoute("/gpu/stream", Transport.EVENTS, OPEN),
        LiveRoute("/training/<task_id>/events/stream", Transport.EVENTS, OPEN),
        LiveRoute("/ws/training/<task_id>", Transport.WEB_SOCKET, OPEN),
    ]
)


def test_path_leads_to_its_route_and_its_variables():
    found = ROUTES.find(Transport.EVENTS, "/training/train_1/events/stream")
    assert found is not None
    assert found.route.pattern == "/training/<task_id>/events/stream"
    assert found.arguments == {"task_id": "train_1"}


@pytest.mark.parametrize(
    "path",
    [
        "/gpu/stream/",
        "//gpu/stream",
        "/gpu/streamx",
        "/gpu/stream\n",
        "/training//events/stream",
        "/training/a/b/events/stream",
    ],
)
def test_other_paths_have_no_route(path):
    assert ROUTES.find(Transport.EVENTS, path) is None


def test_each_transport_has_its_own_routes():
    assert ROUTES.find(Transport.WEB_SOCKET, "/gpu/stream") is None
    assert ROUTES.find(Transport.WEB_SOCKET, "/ws/training/train_1") is not None


@pytest.mark.parametrize("task_id", ["..", "a b", "é", "x" * 200, "-1", "a\x00"])
def test_invalid_task_id_is_not_found(task_id):
    found = ROUTES.find(Transport.WEB_SOCKET, f"/ws/training/{task_id}")
    assert found is not None
    with pytest.raises(TaskNotFound):
        found.open("", None)
