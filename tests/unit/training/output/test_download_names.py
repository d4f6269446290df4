import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.training.output.artifacts import name_download, natural


@pytest.mark.parametrize(
    ("task", "path", "name"),
    [
        ("cats", "run/epoch12/adapter_model.safetensors", "cats-epoch12.safetensors"),
        ("flux", "run/epoch1/pytorch_lora_weights.safetensors", "flux-epoch1.safetensors"),
        ("flux", "run/step500/model.safetensors", "flux-step500.safetensors"),
        ("My cats: v2 (final)", "r/epoch1/lora.safetensors", "My-cats-v2-final-epoch1.safetensors"),
        ("猫 1", "r/epoch1/adapter_model.safetensors", "猫-1-epoch1.safetensors"),
        ("../../etc", "r/epoch1/adapter_model.safetensors", "etc-epoch1.safetensors"),
        ("///", "r/epoch1/adapter_model.safetensors", "model-epoch1.safetensors"),
        ("x" * 200, "r/epoch1/adapter_model.safetensors", "x" * 80 + "-epoch1.safetensors"),
        ("a", "r/epoch1/model-00001-of-00002.safetensors", "a-epoch1-model-00001-of-00002.safetensors"),
        ("a", "r/epoch1/adapter_config.json", "adapter_config.json"),
        ("a", "r/global_step10/layer.safetensors", "layer.safetensors"),
        ("a", "adapter_model.safetensors", "adapter_model.safetensors"),
        ("a", "r/epoch1x/adapter_model.safetensors", "adapter_model.safetensors"),
    ],
)
def test_saved_model_is_named_after_its_task_and_step(task: str, path: str, name: str):
    assert name_download(task, path) == name


@given(task=st.text(max_size=200), path=st.text(max_size=60))
def test_download_name_has_no_path_separator_or_control_character(task: str, path: str):
    name = name_download(task, f"run/epoch1/{path.replace('/', '')}.safetensors")
    assert "/" not in name
    assert name.isprintable()


def test_numbers_in_paths_are_sorted_numerically():
    paths = ["r/epoch10/a", "r/epoch2/a", "r/a", "10", "9", "a"]
    assert sorted(paths, key=natural) == ["9", "10", "a", "r/a", "r/epoch2/a", "r/epoch10/a"]


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_any_two_paths_can_be_compared(one: str, other: str):
    assert (natural(one) < natural(other)) or (natural(other) < natural(one)) or natural(one) == natural(other)
