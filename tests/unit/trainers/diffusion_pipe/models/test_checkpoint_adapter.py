"""Options of an export, and the LoRA in a checkpoint."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.domain.tasks.training import TrainingPlan
from api.errors import ExportUnsupported
from api.files.weights.torch_archive import UnreadableArchive
from api.trainers.diffusion_pipe.models.checkpoint_adapter import CheckpointAdapter, export_options
from api.trainers.toml_text import write
from tests.unit.files.weights.torch_files import tensor, write_archive, write_tensors

LORA = {"type": "lora", "rank": 4}


def plan(model_type: str = "wan", **config: Any) -> TrainingPlan:
    return TrainingPlan("diffusion_pipe", model_type, 1, files={"config.toml": write(config)})


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("wan", {}),
        ("sdxl", {"adapter": LORA}),
        ("wan", {"adapter": {"type": "lokr", "rank": 4}}),
        ("wan", {"adapter": LORA, "save_dtype": "float8"}),
        ("none", {"adapter": LORA}),
    ],
)
def test_training_without_an_exportable_lora_is_rejected_with_a_remedy(model_type: str, config: dict[str, Any]):
    with pytest.raises(ExportUnsupported, match='"method": "resume"'):
        export_options(plan(model_type, **config))


def test_options_name_the_file_that_the_trainer_would_write():
    assert export_options(plan("wan", adapter=LORA))["file_name"] == "adapter_model.safetensors"
    assert export_options(plan("flux", adapter=LORA))["file_name"] == "pytorch_lora_weights.safetensors"


def checkpoint(tmp_path: Path) -> Path:
    """Write a checkpoint with one block in float32."""
    directory = tmp_path / "tasks" / "output" / "run" / "global_step5"
    directory.mkdir(parents=True)
    values = np.array([1.0, 0.1, 1.00390625, -2.0], dtype="<f4")
    block = {
        "block.ffn.0.lora_A.default.weight": ("FloatStorage", (2, 2), values.tobytes()),
        "block.ffn.0.lora_B.default.weight": ("FloatStorage", (4, 1), values.tobytes()),
    }
    for index, tensors in enumerate(({}, block, {})):
        write_tensors(directory / f"layer_{index:02}-model_states.pt", tensors)
    (directory / "mp_rank_00_model_states.pt").write_bytes(b"not read")
    return directory


def test_adapter_is_stored_in_the_requested_type(tmp_path: Path):
    directory = checkpoint(tmp_path)
    made = CheckpointAdapter(directory, export_options(plan(adapter=LORA, save_dtype="bfloat16")))
    content = b"".join(made.parts())
    assert len(content) == made.total_bytes
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert header["__metadata__"] == {"format": "pt"}
    assert header["diffusion_model.blocks.0.ffn.0.lora_A.weight"]["dtype"] == "BF16"
    assert content[8 + size :][:8] == np.array([0x3F80, 0x3DCD, 0x3F80, 0xC000], dtype="<u2").tobytes()


def test_adapter_config_names_rank_and_modules(tmp_path: Path):
    config = CheckpointAdapter(checkpoint(tmp_path), export_options(plan(adapter=LORA))).config()
    assert config is not None
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 4, ["blocks.0.ffn.0"])


def test_tensors_that_share_bytes_are_rejected(tmp_path: Path):
    directory = checkpoint(tmp_path)
    shared = {
        f"block.ffn.{at}.lora_{part}.default.weight": tensor("FloatStorage", "0", (1000, 10))
        for at in range(100)
        for part in "AB"
    }
    write_archive(directory / "layer_01-model_states.pt", shared, {"0": bytes(40_000)})
    with pytest.raises(UnreadableArchive, match="share bytes"):
        CheckpointAdapter(directory, export_options(plan(adapter=LORA)))
