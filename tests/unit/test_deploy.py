"""The systemd unit: shut in, and yet not in the way of GPUs and of trainings that outlive it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.config import read_config

UNIT = Path(__file__).parents[2] / "deploy" / "diffusion-pipe-api.service"
TRAINER_USER = UNIT.with_name("trainer-user.conf")
SETTINGS = [line for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]

#: Of systemd's 0 (shut in) to 10 (open).
HIGHEST_EXPOSURE = 4


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on PATH")
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


def exposure(unit: Path) -> float:
    found = re.search(r"exposure level for \S+: ([\d.]+)", analyze("security", "--offline=true", str(unit)))
    assert found
    return float(found[1])


def test_unit_is_shut_in():
    assert exposure(UNIT) <= HIGHEST_EXPOSURE


def test_unit_of_the_worker_is_shut_in():
    assert exposure(UNIT.with_name("diffusion-pipe-worker.service")) <= HIGHEST_EXPOSURE


def test_unit_whose_trainings_run_as_another_user_is_shut_in(tmp_path: Path):
    unit, drop_ins = tmp_path / UNIT.name, tmp_path / f"{UNIT.name}.d"
    drop_ins.mkdir()
    shutil.copy(UNIT, unit)
    shutil.copy(TRAINER_USER, drop_ins)
    alone = exposure(UNIT)
    assert alone < exposure(unit) <= HIGHEST_EXPOSURE


def test_unit_lets_the_user_be_changed():
    """By the calls of setpriv; whoever takes them out of the filter has all trainings fail."""
    allowed = analyze("syscall-filter", "@system-service").split()
    assert "SystemCallFilter=@system-service pidfd_getfd" in SETTINGS
    assert {"@setuid", "@process", "@chown", "capset"} <= set(allowed)


def test_drop_in_gives_the_means_and_no_more():
    settings = [line for line in TRAINER_USER.read_text().splitlines() if line and line[0] not in "#["]
    means = "CAP_SETUID CAP_SETGID CAP_KILL"
    assert {f"CapabilityBoundingSet={means}", f"AmbientCapabilities={means}"} <= set(settings)
    # systemd sets these anew at each start: with its own 0700 the trainings that run would lose their way.
    assert {"StateDirectoryMode=0710", "CacheDirectoryMode=0770", "RestrictSUIDSGID=no"} <= set(settings)


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
    assert read_config({"API_PORT": ""}, dotenv_path=None).port == 8080
