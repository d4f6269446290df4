"""The servers of the database, over HTTP."""

from tests.api.conftest import World


def test_single_server_lists_itself(world: World):
    (server,) = world.client.data("/api/v1/system/servers")["servers"]
    assert (server["is_this_server"], server["state"], server["silent_seconds"]) == (True, "up", 0.0)
    assert len(server["server_id"]) == 16
