import pytest

from api.errors import Invalid
from api.gpus.stream import read_node


@pytest.mark.parametrize(
    ("query", "node"),
    [("node=gpu2", "gpu2"), ("node=", ""), ("node=a%20b&other=1", "a b"), ("other=1", None)],
)
def test_one_node_is_asked_for_and_what_else_is_asked_counts_for_nothing(query: str, node: str | None):
    assert read_node(query) == node


@pytest.mark.parametrize("query", ["node=a&node=b", f"node={'x' * 256}"])
def test_two_nodes_and_names_that_none_has_are_mistakes(query: str):
    with pytest.raises(Invalid):
        read_node(query)
