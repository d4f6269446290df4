import os
from pathlib import Path

import pytest

from api.access.first_key import read_key_file, write_key_file
from api.config import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin-key"


def test_written_file_is_readable_by_its_owner_only(path: Path):
    write_key_file(path, "dp_key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key_file(path) == "dp_key"


def test_existing_file_is_not_overwritten(path: Path):
    path.write_text("mine")
    with pytest.raises(ConfigError, match="cannot be created \\(File exists\\)"):
        write_key_file(path, "dp_key")
    assert path.read_text() == "mine"


def test_links_are_followed_for_mounted_secrets(path: Path):
    write_key_file(path, "dp_key")
    link = path.with_name("link")
    link.symlink_to(path)
    assert read_key_file(link) == "dp_key"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o777])
def test_file_accessible_to_others_is_refused(path: Path, mode: int):
    write_key_file(path, "dp_key")
    path.chmod(mode)
    link = path.with_name("link")
    link.symlink_to(path)
    for each in (path, link):
        with pytest.raises(ConfigError, match=rf"accessible to other users \(mode {mode:04o}\): run `chmod 600"):
            read_key_file(each)


def test_missing_file_is_reported(path: Path):
    with pytest.raises(ConfigError, match=r"admin-key cannot be read \(No such file or directory\)"):
        read_key_file(path)


def test_only_plain_files_are_read(path: Path):
    os.mkfifo(path, 0o600)
    for each in (path, path.parent, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is no plain file"):
            read_key_file(each)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_refused(path: Path):
    write_key_file(path, "dp_key")
    os.chown(path, 1234, -1)
    with pytest.raises(ConfigError, match="belongs to another user, who could replace the key"):
        read_key_file(path)
