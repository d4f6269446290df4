import pytest

from api.executors.slurm.nodes import parse_nodes


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
    (node,) = parse_nodes({"nodes": [{"name": "n1", "state": states}]})
    assert (node.state, node.says) == (told, tuple(states))


def test_gpus_are_counted_over_all_kinds() -> None:
    node = {
        "name": "n1",
        "state": ["MIXED"],
        "gres": "gpu:h100:4,gpu:l40s:2,shard:9",
        "gres_used": "gpu:h100:3(IDX:0-2)",
    }
    (found,) = parse_nodes({"nodes": [node]})
    assert (found.gpus, found.used, found.used_count) == (6, {0, 1, 2}, 3)


def test_which_gpus_are_used_is_unknown_where_slurm_only_counts() -> None:
    (found,) = parse_nodes({"nodes": [{"name": "n1", "gres": "gpu:2", "gres_used": "gpu:1"}]})
    assert (found.used, found.used_count) == (None, 1)
