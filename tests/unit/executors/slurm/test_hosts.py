import pytest

from api.executors.slurm.hosts import MOST_NODES, expand


@pytest.mark.parametrize(
    ("short", "names"),
    [
        ("", ()),
        ("head", ("head",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[08-10,12],gpu1", ("n08", "n09", "n10", "n12", "gpu1")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("n[3-1]", ()),
        ("n[1-", ()),
        ("n1]", ()),
    ],
)
def test_short_node_lists_are_expanded(short: str, names: tuple[str, ...]) -> None:
    assert expand(short) == names


@pytest.mark.parametrize(
    "text",
    [
        "n[1-999999999]",
        "n[0-9999][0-9999]",
        "n[0-9999][0-9999][0-9999][0-9999]",
        "n" + "[1-9]" * 10_000,
        "x" * 300 + "[1-999999999]",
        f"n[{'0' * 60_000}-{'9' * 5_000}]",
        "a[" * 30_000 + "]" * 30_000,
        "n[1-9]," * 9_000,
    ],
)
def test_hostile_node_list_gives_few_short_names(text: str) -> None:
    names = expand(text)
    assert len(names) <= MOST_NODES
    assert max(map(len, names), default=0) <= 255
