from pathlib import Path
from types import SimpleNamespace

import pytest

from api.files.disk import is_on_network

MOUNTS = [
    SimpleNamespace(mountpoint="/", fstype="ext4"),
    SimpleNamespace(mountpoint="/srv", fstype="nfs4"),
    SimpleNamespace(mountpoint="/srv/here", fstype="xfs"),
    SimpleNamespace(mountpoint="/mnt", fstype="ext4"),
    SimpleNamespace(mountpoint="/mnt", fstype="fuse.sshfs"),
]


@pytest.mark.parametrize(
    ("path", "is_so"),
    [
        ("/srv/tasks/a", True),
        ("/srv", True),
        ("/srv/here/a", False),
        ("/srvice", False),
        ("/mnt/a", True),
        ("/a", False),
    ],
)
def test_the_deepest_and_last_mount_counts(path: str, is_so: bool):
    assert is_on_network(Path(path), MOUNTS) is is_so


def test_link_is_followed_to_where_it_leads(tmp_path: Path):
    (tmp_path / "data").symlink_to("/srv/data")
    assert is_on_network(tmp_path / "data", MOUNTS)


def test_the_kernels_own_list_is_read():
    assert not is_on_network(Path("/proc/self"))
