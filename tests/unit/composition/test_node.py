"""The composed parts of a node, with a fake head."""

import logging
import threading

import orjson
import pytest

from api.composition.node import NodeRuntime
from api.config import Config, ConfigError, read_config
from api.errors import Unavailable
from api.nodes.head import FakeHead, HeadUnreachable


def node(head: FakeHead | None = None, **settings: object) -> NodeRuntime:
    given = {"role": "node", "head_url": "http://127.0.0.1:1", "node_name": "gpu2", "gpu_source": "simulated"}
    return NodeRuntime(Config(**{**given, **settings}), 8081, head=head or FakeHead())  # type: ignore[arg-type]


def test_node_reports_to_its_head_and_leaves_no_thread():
    before = set(threading.enumerate())
    head = FakeHead()
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": []}
    runtime = node(head)
    with pytest.raises(Unavailable):
        runtime.get_readiness()
    runtime.start()
    runtime.reporter.send_report()
    assert runtime.get_health().status == "ok"
    assert runtime.get_readiness().status == "ready"
    runtime.stop()
    assert orjson.loads(head.reports[-1])["report"]["leaves"] is True
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()] == []


@pytest.mark.parametrize(
    ("stored", "own", "used"),
    [
        ({"LOG_LEVEL": "error"}, {}, "ERROR"),
        ({"LOG_LEVEL": "error"}, {"log_level": "WARNING"}, "WARNING"),
        ({"LOG_LEVEL": "LOUD"}, {}, "INFO"),
        (["LOG_LEVEL"], {}, "INFO"),
        ({}, {}, "INFO"),
    ],
)
def test_head_sets_the_log_level_unless_the_environment_does(
    stored: object, own: dict[str, str], used: str, monkeypatch: pytest.MonkeyPatch
):
    levels = [own.get("log_level", "INFO")]
    monkeypatch.setattr(logging.getLogger(), "setLevel", levels.append)
    head = FakeHead()
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": [], "settings": stored}
    runtime = node(head, **own)
    runtime.reporter.send_report()
    assert (levels[-1], runtime.reporter.problem) == (used, None)
    # The value was removed at the head.
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": []}
    runtime.reporter.send_report()
    assert levels[-1] == own.get("log_level", "INFO")


def test_node_with_an_unreachable_head_is_degraded_and_counts_it():
    head = FakeHead()
    head.answer = HeadUnreachable("ConnectError")
    runtime = node(head)
    runtime.reporter.send_report()
    assert runtime.get_health().problems == ("it does not answer (ConnectError)",)
    table = runtime.gpus.documents.get("/metrics")
    assert table is not None
    assert b"diffusion_pipe_node_head_up 0" in table.body


def test_nodes_have_different_simulated_gpus():
    names = [node(node_name=name).gpus._source._gpus[0].identity.uuid for name in ("gpu2", "gpu3", "gpu2")]  # type: ignore[attr-defined]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("settings", [{"node_name": "a b"}, {"auth": "required"}])
def test_unusable_settings_are_refused(settings: dict[str, str]):
    with pytest.raises(ConfigError):
        node(**settings)


def test_node_requires_a_head():
    with pytest.raises(ConfigError, match="HEAD_URL"):
        read_config({"ROLE": "node"}, dotenv_path=None)
