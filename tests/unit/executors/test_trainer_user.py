import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import api
from api.config import ConfigError
from api.executors.trainer_user import TrainerUser, find_trainer_user

SAME_USER = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
UNKNOWN_USER = "no_such_user_here"


def user(tmp_path: Path, script: str = SAME_USER) -> TrainerUser:
    """Return a user with this script as setpriv."""
    program = tmp_path / "setpriv"
    program.write_text(script)
    program.chmod(0o755)
    return TrainerUser("trainer", 7001, 7002, (44,), tmp_path, str(program))


# -- look-up ----------------------------------------------------------------------------------------------------------


def test_unknown_name_is_rejected_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=f"no such user: create it .*useradd .*{UNKNOWN_USER}"):
        find_trainer_user(UNKNOWN_USER)


@pytest.mark.parametrize("given", ["root", "0:7002", "7001:0"])
def test_root_is_rejected(given: str) -> None:
    with pytest.raises(ConfigError, match="this is root, or in root's group"):
        find_trainer_user(given)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_services_own_user_is_rejected(monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    monkeypatch.setattr(os, "getresuid", lambda: tuple(7001 if each == position else 5 for each in range(3)))
    with pytest.raises(ConfigError, match="the service's own user, which does not separate"):
        find_trainer_user("7001:7002")


def test_missing_setpriv_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"setpriv \(of util-linux\) is missing"):
        find_trainer_user("7001:7002")


def test_numbers_need_no_user_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    found = find_trainer_user("7001:7002")
    assert found.as_json() == {"uid": 7001, "gid": 7002, "groups": [], "setpriv": "/bin/setpriv"}


def test_name_provides_groups_and_home(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(pw_uid=7001, pw_gid=7002, pw_dir="/home/trainer")
    monkeypatch.setattr(pwd, "getpwnam", lambda name: entry)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 44])
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert find_trainer_user("trainer") == TrainerUser(
        "trainer", 7001, 7002, (44,), Path("/home/trainer"), "/bin/setpriv"
    )


# -- environment of its trainers ---------------------------------------------------------------------------------------


def test_trainers_use_the_home_or_the_caches_without_user_packages(tmp_path: Path) -> None:
    known = user(tmp_path)
    assert known.environment(Path("/caches"))["HOME"] == str(tmp_path)
    (tmp_path / "setpriv").unlink()
    tmp_path.rmdir()
    assert known.environment(Path("/caches")) == {
        "HOME": "/caches",
        "USER": "trainer",
        "LOGNAME": "trainer",
        "PYTHONNOUSERSITE": "1",
    }


# -- requirements ------------------------------------------------------------------------------------------------------


def test_working_setup_passes_the_check(tmp_path: Path) -> None:
    user(tmp_path).check()


def test_setprivs_error_is_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(setpriv: no way\): the service needs the capabilities CAP_SETUID"):
        user(tmp_path, "#!/bin/sh\necho setpriv: no way >&2\nexit 127\n").check()


def test_invisible_processes_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.trainer_user.read_stat", lambda pid: None)
    with pytest.raises(ConfigError, match="mount /proc without hidepid"):
        user(tmp_path).check()


def test_unkillable_processes_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(ConfigError, match="its processes cannot be ended: the service needs"):
        user(tmp_path).check()


def test_service_joins_the_group_if_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[list[int]] = []
    monkeypatch.setattr(os, "setgroups", joined.append)
    monkeypatch.setattr(os, "getgroups", lambda: [5])
    user(tmp_path).join_group()
    monkeypatch.setattr(os, "getgroups", lambda: [5, 7002])
    user(tmp_path).join_group()
    assert joined == [[5, 7002]]


def test_group_that_cannot_be_joined_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def setgroups(groups: list[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", setgroups)
    with pytest.raises(ConfigError, match="cannot join its group"):
        user(tmp_path).join_group()


# -- directories -------------------------------------------------------------------------------------------------------


def may(*allowed: str) -> str:
    """Return a fake setpriv whose user has only these permissions, such as `-x /data`."""
    cases = "|".join(f'"{each}"' for each in allowed) or "nothing"
    return f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\ncase "$*" in {cases}) exit 0 ;; esac\nexit 1\n'


def test_user_that_can_only_enter_the_tasks_is_accepted(tmp_path: Path) -> None:
    user(tmp_path, may("-x /data/tasks")).check_paths(Path("/data/tasks"), [Path("/data/database.sqlite")])


def test_user_that_cannot_enter_the_tasks_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot pass to /data/tasks: .*chmod o\+x"):
        user(tmp_path, may()).check_paths(Path("/data/tasks"), [])


def test_user_that_can_read_the_database_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it may read /data/database\.sqlite: run `chmod go="):
        user(tmp_path, may("-r /data/database.sqlite")).check_paths(Path("/data"), [Path("/data/database.sqlite")])


@pytest.mark.parametrize("place", [Path(api.__file__).parent, Path(sys.prefix)])
def test_user_that_can_change_the_program_is_rejected(tmp_path: Path, place: Path) -> None:
    with pytest.raises(ConfigError, match=f"it may write to {place}, which contains the service's program"):
        user(tmp_path, may(f"-w {place}")).check_paths(Path("/data"), [])
