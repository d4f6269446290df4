import pytest

from api.errors import Invalid
from api.gpus.stream import read_node


@pytest.mark.parametrize(
    ("query", "node"),
    [("node=gpu2", "gpu2"), ("node=", ""), ("node=a%20b&other=1", "a b"), ("other=1", None)],
)
def test_one_node_is_selected_and_other_parameters_are_ignored(query: str, node: str | None):
    assert read_node(query) == node


@pytest.mark.parametrize("query", ["node=a&node=b", f"node={'x' * 256}"])
def test_two_nodes_and_invalid_names_are_mistakes(query: str):
    with pytest.raises(Invalid):
        read_node(query)
