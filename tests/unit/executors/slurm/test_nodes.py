import pytest

from api.executors.slurm.nodes import NodeReport, parse_node


def node_of(given: object) -> NodeReport:
    found = parse_node(given)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("states", "value"),
    [
        (["IDLE"], "up"),
        (["MIXED"], "up"),
        (["IDLE", "DRAIN"], "draining"),
        (["DOWN", "NOT_RESPONDING"], "down"),
        (["IDLE", "NOT_RESPONDING"], "down"),
        (["SOMETHING_NEW"], "unknown"),
        ([], "unknown"),
    ],
)
def test_node_is_up_only_if_known_to_be(states: list[str], value: str) -> None:
    node = node_of({"name": "n1", "state": states})
    assert (node.state, node.says) == (value, tuple(states))


def test_gpus_of_all_types_are_counted() -> None:
    node = {
        "name": "n1",
        "state": ["MIXED"],
        "gres": "gpu:h100:4,gpu:l40s:2,shard:9",
        "gres_used": "gpu:h100:3(IDX:0-2)",
    }
    found = node_of(node)
    assert (found.gpus, found.used) == (6, {0, 1, 2})


def test_used_gpus_are_unknown_if_slurm_only_counts_them() -> None:
    found = node_of({"name": "n1", "gres": "gpu:2", "gres_used": "gpu:1"})
    assert found.used is None


@pytest.mark.parametrize("value", [None, 3, {}, {"name": ""}, {"name": "x" * 301}, {"name": ["n1"]}])
def test_invalid_node_is_left_out(value: object) -> None:
    assert parse_node(value) is None


def test_hostile_node_data_is_bounded_and_printable() -> None:
    lies = {"name": "n\ud8001", "reason": "\x1b]0;x\x07" + "a\n" * 999, "gres": "gpu:9999," * 99, "gres_used": 7}
    node = node_of({**lies, "state": [{}, "IDLE", ""], "partitions": ["p"] * 9_999, "active_features": None})
    assert (node.name, node.gpus, node.state) == ("n?1", 512, "up")
    assert (len(node.partitions), len(node.reason or "")) == (1_000, 294)
    assert (node.reason or "").isprintable()
