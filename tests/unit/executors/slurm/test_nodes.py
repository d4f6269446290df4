import pytest

from api.executors.slurm.nodes import NodeReport, parse_node


def node_of(given: object) -> NodeReport:
    found = parse_node(given)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("states", "told"),
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
def test_a_node_is_up_only_where_that_is_known(states: list[str], told: str) -> None:
    node = node_of({"name": "n1", "state": states})
    assert (node.state, node.says) == (told, tuple(states))


def test_gpus_are_counted_over_all_kinds() -> None:
    node = {
        "name": "n1",
        "state": ["MIXED"],
        "gres": "gpu:h100:4,gpu:l40s:2,shard:9",
        "gres_used": "gpu:h100:3(IDX:0-2)",
    }
    found = node_of(node)
    assert (found.gpus, found.used, found.used_count) == (6, {0, 1, 2}, 3)


def test_which_gpus_are_used_is_unknown_where_slurm_only_counts() -> None:
    found = node_of({"name": "n1", "gres": "gpu:2", "gres_used": "gpu:1"})
    assert (found.used, found.used_count) == (None, 1)


@pytest.mark.parametrize("told", [None, 3, {}, {"name": ""}, {"name": "x" * 301}, {"name": ["n1"]}])
def test_what_is_no_machine_is_left_out(told: object) -> None:
    assert parse_node(told) is None


def test_a_machine_that_lies_costs_little_and_can_be_shown() -> None:
    lies = {"name": "n\ud8001", "reason": "\x1b]0;x\x07" + "a\n" * 999, "gres": "gpu:9999," * 99, "gres_used": 7}
    node = node_of({**lies, "state": [{}, "IDLE", ""], "partitions": ["p"] * 9_999, "active_features": None})
    assert (node.name, node.gpus, node.used_count, node.state) == ("n?1", 512, 0, "up")
    assert (len(node.partitions), len(node.reason or "")) == (1_000, 294)
    assert (node.reason or "").isprintable()
