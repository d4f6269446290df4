"""Power limits through the real binding: set and restored, or refused with a reason."""

from tests.e2e.server import until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

LIMIT = "/api/v1/gpu/0/power-limit"


def test_limit_is_refused_without_root_and_otherwise_set_and_restored(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(2)
    machine.fail("nvmlDeviceSetPowerManagementLimit", 4)
    server = serve(GPU_MONITOR_INTERVAL="0.2")
    assert server.client.put(LIMIT, json={"watts": 400}).status_code == 200
    until(lambda: server.get("/gpu/0/power-limit")["problem"] is not None)
    assert server.get("/gpu/0/power-limit")["problem_code"]["code"] == "limit_not_permitted"
    machine.restore()
    # Another request tries again at once.
    assert server.client.put(LIMIT, json={"watts": 400}).status_code == 200
    until(lambda: server.get("/gpu/0/details")["power"]["limit"] == 400)
    assert server.get("/gpu/1/details")["power"]["limit"] == 700
    assert server.client.delete(LIMIT).status_code == 200
    until(lambda: server.get("/gpu/0/details")["power"]["limit"] == 700)
    assert server.get("/gpu/0/power-limit")["problem"] is None
