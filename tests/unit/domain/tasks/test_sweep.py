"""Names and labels of sweeps, and their combinations."""

from typing import Any

import pytest

from api.domain.tasks.sweep import combine, label, name_each, show_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e-4, "1e-4"),
        (0.00025, "2.5e-4"),
        (-5e-05, "-5e-5"),
        (0.002, "0.002"),
        (0.1, "0.1"),
        (2.0, "2"),
        (0.0, "0"),
        (3e7, "3e7"),
        (16, "16"),
        (True, "on"),
        (None, "null"),
        ([512, 768], "[512,768]"),
        ("a\nb", "ab"),
        ("x" * 30 + " hf_" + "a1" * 17, "x" * 30 + " ***"),
    ],
)
def test_values_are_shown_short(value: Any, shown: str):
    assert show_value(value) == shown


def test_label_is_the_shortest_unique_end_of_a_pointer():
    values = {"/config/optimizer/lr": [1], "/config/adapter/type": ["lora"], "/config/optimizer/type": ["adam"]}
    assert [one.label for one in label(values)] == ["lr", "adapter.type", "optimizer.type"]
    [dataset] = label({"/dataset/directories/0/dataset": ["a"]})
    assert dataset.label == "dataset"
    assert [one.label for one in label({"/gpu_ids/0": [1], "/gpu_ids/²": [1]})] == ["gpu_ids", "²"]


def test_names_have_every_value_and_are_unique():
    varied = label(
        {
            "/config/optimizer/lr": [1e-4, 0.00010000000000001],
            "/config/model/path": ["/a/x.safetensors", "/b/x.safetensors"],
            "/config/save": [True],
        }
    )
    combinations = combine(varied)
    names = name_each("cats", varied, combinations)
    assert names[0] == "cats-lr1e-4-x.safetensors-save-on"
    assert names[1] == "cats-lr1e-4-x.safetensors-save-on-2"
    assert len(set(names)) == len(combinations) == 4


def test_long_names_are_cut_but_keep_their_values():
    varied = label({f"/config/{'k' * 60}{n}": [1, 2] for n in range(6)})
    names = name_each("n" * 200, varied, combine(varied))
    assert len(set(names)) == 64
    assert max(map(len, names)) <= 200
