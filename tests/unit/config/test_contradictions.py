import pytest

from api.config import ConfigError
from tests.unit.config.given import read


def test_address_beyond_loopback_is_reported_with_other_mistakes():
    with pytest.raises(ConfigError) as refused:
        read({"API_HOST": "0.0.0.0", "LOG_LEVEL": "LOUD"})
    assert all(name in str(refused.value) for name in ("API_HOST", "LOG_LEVEL"))


def test_default_quotas_need_keys():
    with pytest.raises(ConfigError, match="AUTH=required"):
        read({"QUOTA_GPUS": "0"})
    with pytest.raises(ConfigError, match="QUOTA_GPU_HOURS_PER_DAY"):
        read({"AUTH": "required", "QUOTA_GPU_HOURS_PER_DAY": "many"})
    given = read({"AUTH": "required", "QUOTA_GPUS": "4", "QUOTA_STORAGE_GB": "0.5", "QUOTA_QUEUED_TASKS": ""})
    assert (given.quota_gpus, given.quota_storage_gb, given.quota_queued_tasks) == (4, 0.5, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "[2001:db8::1]"])
def test_address_beyond_loopback_is_rejected(host: str):
    with pytest.raises(ConfigError, match="ALLOW_UNAUTHENTICATED=1"):
        read({"API_HOST": host})


def test_address_beyond_loopback_can_be_permitted():
    config = read({"API_HOST": "0.0.0.0", "ALLOW_UNAUTHENTICATED": "1"})
    assert not config.is_loopback


def test_caption_endpoint_and_command_exclude_each_other():
    command = {"CAPTION_COMMAND": "/opt/caption {file}", "CAPTION_COMMAND_SECONDS": "60"}
    assert read(command).caption_command == ("/opt/caption", "{file}")
    with pytest.raises(ConfigError, match="only one can"):
        read({**command, "CAPTION_ENDPOINT": "http://127.0.0.1:1/v1"})


def test_cluster_needs_an_address_and_a_token():
    with pytest.raises(ConfigError, match=r"SLURMRESTD_URL .* and SLURM_TOKEN_FILE"):
        read({"EXECUTOR": "slurm"})
    given = {"EXECUTOR": "slurm", "SLURMRESTD_URL": "http://127.0.0.1:6820", "SLURM_TOKEN_FILE": "/token"}
    assert read(given).executor == "slurm"
    with pytest.raises(ConfigError, match="TRAINER_USER"):
        read({**given, "TRAINER_USER": "nobody"})
