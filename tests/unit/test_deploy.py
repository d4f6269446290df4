"""The systemd unit: sandboxed, but with access to GPUs, and without effect on trainings that outlive it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.config import read_config

UNIT = Path(__file__).parents[2] / "deploy" / "diffusion-pipe-api.service"
TRAINER_USER = UNIT.with_name("trainer-user.conf")
SETTINGS = [line for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]

#: Highest accepted exposure level of systemd-analyze, from 0 (sandboxed) to 10 (unrestricted).
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


def test_unit_is_sandboxed():
    assert exposure(UNIT) <= HIGHEST_EXPOSURE


def test_worker_unit_is_sandboxed():
    assert exposure(UNIT.with_name("diffusion-pipe-worker.service")) <= HIGHEST_EXPOSURE


def test_unit_with_a_trainer_user_is_sandboxed(tmp_path: Path):
    unit, drop_ins = tmp_path / UNIT.name, tmp_path / f"{UNIT.name}.d"
    drop_ins.mkdir()
    shutil.copy(UNIT, unit)
    shutil.copy(TRAINER_USER, drop_ins)
    alone = exposure(UNIT)
    assert alone < exposure(unit) <= HIGHEST_EXPOSURE


def test_unit_permits_changing_the_user():
    """Without the system calls of setpriv in the filter, every training would fail."""
    allowed = analyze("syscall-filter", "@system-service").split()
    assert "SystemCallFilter=@system-service pidfd_getfd" in SETTINGS
    assert {"@setuid", "@process", "@chown", "capset"} <= set(allowed)


def test_drop_in_grants_only_the_required_capabilities():
    settings = [line for line in TRAINER_USER.read_text().splitlines() if line and line[0] not in "#["]
    means = "CAP_SETUID CAP_SETGID CAP_KILL"
    assert {f"CapabilityBoundingSet={means}", f"AmbientCapabilities={means}"} <= set(settings)
    # systemd sets this mode at each start; with its default 0700, running trainings could not open their directories.
    assert {"StateDirectoryMode=0710", "CacheDirectoryMode=0770", "RestrictSUIDSGID=no"} <= set(settings)


@pytest.mark.parametrize("setting", ["KillMode=process", "Delegate=yes", "OOMPolicy=continue", "UMask=0077"])
def test_stopping_the_unit_leaves_trainings_running(setting: str):
    assert setting in SETTINGS


@pytest.mark.parametrize(
    "name", ["PrivateTmp", "RuntimeDirectory", "PrivatePIDs", "PrivateDevices", "ProtectControlGroups"]
)
def test_unit_has_no_option_that_harms_trainings_that_outlive_it(name: str):
    assert not [line for line in SETTINGS if line.startswith(name + "=")]


def test_unit_permits_access_to_gpus():
    assert "DeviceAllow=char-nvidia* rwm" in SETTINGS
    assert "MemoryDenyWriteExecute=yes" not in SETTINGS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on PATH")
@pytest.mark.parametrize("name", ["diffusion-pipe-api.service", "diffusion-pipe-api@8081.service"])
def test_unit_is_valid_alone_and_as_a_template(name: str, tmp_path: Path):
    installed = tmp_path / name.replace("8081", "")
    # Ignore complaints about programs that are not installed on this machine.
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


def test_instance_name_is_its_port():
    assert "Environment=API_PORT=%i" in SETTINGS
    assert read_config({"API_PORT": ""}, dotenv_path=None).port == 8080
