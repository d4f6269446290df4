from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, remarks, within, without, write_safetensors

ERRORS = [
    (without("type", "adapter"), "/config/adapter/type"),
    (without("rank", "adapter"), "/config/adapter/rank"),
    (within("adapter", alpha=16), "/config/adapter/alpha"),
    (within("adapter", rank=16.0), "/config/adapter/rank"),
    (within("adapter", exclude_modules=3), "/config/adapter/exclude_modules"),
]

WARNINGS = [
    (within("adapter", decompose_factor=4), "/config/adapter/decompose_factor"),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, warnings=WARNINGS)


@pytest.mark.parametrize(
    ("tensors", "fits"),
    [({"a.lora_A.weight": [16, 4]}, True), ({"a.lora_A.weight": [8, 4]}, False), ({"a.lokr_w1": [8]}, False)],
)
def test_existing_adapter_must_have_the_configured_rank(tmp_path: Path, tensors: dict[str, list[int]], fits: bool):
    case = Case(tmp_path, "chroma")
    write_safetensors(tmp_path / "epoch5" / "adapter_model.safetensors", tensors)
    case.config["adapter"]["init_from_existing"] = str(tmp_path / "epoch5")
    assert case.errors() == ([] if fits else ["/config/adapter/init_from_existing"])


def test_fused_adapter_must_be_a_safetensors_file(tmp_path: Path):
    case = Case(tmp_path, "flux")
    adapter = tmp_path / "adapter.safetensors"
    adapter.write_bytes(b"PK\x03\x04" + bytes(60))
    case.config["adapter"]["fuse_adapters"] = [{"path": str(adapter), "weight": 1.0}]
    assert case.errors() == ["/config/adapter/fuse_adapters/0/path"]
    write_safetensors(adapter)
    assert case.errors() == []


@pytest.mark.parametrize(
    ("pattern", "is_valid"),
    [
        ("(" * 10 + ".*" + ")*" * 10 + "!", True),
        ("a{99999999999}", True),
        ("(?=ffn).*", True),
        (r"(a)\1", True),
        ("*.ffn", False),
        ("[a", False),
        ("a)", False),
    ],
)
def test_pattern_of_excluded_modules_is_checked_in_linear_time(tmp_path: Path, pattern: str, is_valid: bool):
    case = Case(tmp_path)
    case.config["adapter"]["exclude_modules"] = pattern
    assert case.errors() == ([] if is_valid else ["/config/adapter/exclude_modules"])
