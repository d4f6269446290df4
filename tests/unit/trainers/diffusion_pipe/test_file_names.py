from pathlib import Path
from typing import Any

import pytest

from api.trainers.diffusion_pipe.checks.slots_check import check_file_name
from api.trainers.diffusion_pipe.config.findings import Findings


@pytest.mark.parametrize(
    ("slot", "name", "model", "is_reported"),
    [
        ("z_image.diffusion_model", "z_image_turbo_bf16.safetensors", {}, True),
        ("z_image.diffusion_model", "z_image_turbo_bf16.safetensors", {"merge_adapters": ["a"]}, False),
        ("z_image.diffusion_model", "z_image_bf16.safetensors", {}, False),
        ("flux2.diffusion_model", "flux-2-klein-4b.safetensors", {}, True),
        ("flux2.diffusion_model", "flux-2-klein-base-4b.safetensors", {}, False),
        ("ideogram4.diffusion_model", "ideogram4_unconditional_fp8_scaled.safetensors", {}, True),
        ("krea2.diffusion_model", "Krea2_Turbo.safetensors", {}, True),
        ("krea2.vae", "turbo.safetensors", {}, False),
        ("wan.transformer_path", "wan2.2_t2v_low_noise_14B.safetensors", {}, True),
        ("wan.transformer_path", "wan2.2_t2v_low_noise_14B.safetensors", {"min_t": 0, "max_t": 0.875}, False),
        ("wan.transformer_path", "wan2.2_i2v_high_noise_14B.safetensors", {"min_t": 0.9, "max_t": 1}, False),
        ("wan.transformer_path", "wan2.2_i2v_high_noise_14B.safetensors", {"min_t": 0, "max_t": 0.875}, True),
        ("wan.transformer_path", "wan2.2_high_noise.safetensors", {"min_t": float("nan")}, False),
    ],
)
def test_file_name_reveals_a_model_with_equal_shapes(slot: str, name: str, model: dict[str, Any], is_reported: bool):
    findings = Findings()
    check_file_name(Path("/m") / name, (slot,), model, "/at", findings)
    assert findings.errors == ()
    assert [each.pointer for each in findings.warnings] == (["/at"] if is_reported else [])
