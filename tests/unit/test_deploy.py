"""The systemd unit: shut in, and yet not in the way of GPUs and of trainings that outlive it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.config import Config

UNIT = Path(__file__).parents[2] / "deploy" / "diffusion-pipe-api.service"
SETTINGS = [line for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]

#: Of systemd's 0 (shut in) to 10 (open).
HIGHEST_EXPOSURE = 4


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on PATH")
def test_unit_is_shut_in():
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= HIGHEST_EXPOSURE


@pytest.mark.parametrize("setting", ["KillMode=process", "Delegate=yes", "OOMPolicy=continue", "UMask=0077"])
def test_unit_leaves_running_trainings_alone(setting: str):
    assert setting in SETTINGS


@pytest.mark.parametrize(
    "name", ["PrivateTmp", "RuntimeDirectory", "PrivatePIDs", "PrivateDevices", "ProtectControlGroups"]
)
def test_unit_has_nothing_that_would_harm_what_outlives_it(name: str):
    assert not [line for line in SETTINGS if line.startswith(name + "=")]


def test_unit_lets_gpus_through():
    assert "DeviceAllow=char-nvidia* rwm" in SETTINGS
    assert "MemoryDenyWriteExecute=yes" not in SETTINGS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on PATH")
@pytest.mark.parametrize("name", ["diffusion-pipe-api.service", "diffusion-pipe-api@8081.service"])
def test_unit_can_be_read_as_it_is_and_as_a_template(name: str, tmp_path: Path):
    installed = tmp_path / name.replace("8081", "")
    # What is not on this machine is not what is asked about.
    text = UNIT.read_text().replace("/opt/diffusion-pipe-api/.venv/bin/python", "/bin/true")
    installed.write_text(text.replace("+-/usr/bin/nvidia-modprobe", "+-/bin/true").replace("User=trainer", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "diffusion-pipe-api" in line] == []
    assert done.returncode == 0


def test_port_of_an_instance_is_its_name():
    assert "Environment=API_PORT=%i" in SETTINGS
    assert Config.from_env({"API_PORT": ""}, dotenv_path=None).port == 8080
