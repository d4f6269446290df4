from pathlib import Path

import pytest

from api.config import cache_roots, child_environment
from tests.unit.config.given import read


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LD_LIBRARY_PATH",
        "HF_HOME",
        "NCCL_P2P_DISABLE",
        "CUDA_HOME",
        "https_proxy",
        "LC_ALL",
        "HF_ENDPOINT",
        "WANDB_BASE_URL",
    ],
)
def test_trainer_inherits_the_variables_that_it_needs(name: str):
    assert child_environment({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "REDIS_URL", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "XHOME"],
)
def test_other_variables_are_not_inherited(name: str):
    assert child_environment({name: "x"}) == {}


def test_cache_roots_are_the_storage_the_setting_and_the_services_caches(tmp_path: Path):
    config = read({"STORAGE_ROOT": str(tmp_path), "TRAINER_CACHE_ROOTS": "/nvme/cache:/models"})
    roots = cache_roots(config, {"HOME": "/home/ada", "HF_HOME": "/hf", "TORCH_HOME": ""})
    assert [str(root) for root in roots] == [f"{tmp_path}/caches", "/nvme/cache", "/models", "/hf", "/home/ada/.cache"]
