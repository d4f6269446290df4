from pathlib import Path

import pytest

from api.executors.attempt import cgroup
from api.executors.attempt.cgroup import Cgroup, find_cgroup, make_cgroup, own_cgroup


class Kernel:
    """A fake of /proc's files about control groups."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = "0::/system.slice/service\n"
        self.mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
        self._read = cgroup.read_file
        monkeypatch.setattr(cgroup, "read_file", self.read)

    def read(self, path: str) -> bytes:
        known = {"/proc/self/cgroup": self.inside, "/proc/self/mountinfo": self.mounts}
        return known[path].encode() if path in known else self._read(path)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


@pytest.mark.parametrize(
    ("inside", "root", "mount", "expected"),
    [
        ("0::/system.slice/service", "/", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/service"),
        ("4:memory:/x\n0::/", "/", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
        ("0::/box/inner", "/box", "/sys/fs/cgroup", "/sys/fs/cgroup/inner"),
        ("0::/box", "/box", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("0::/other", "/box", "/sys/fs/cgroup", None),
        ("0::/../elsewhere", "/", "/sys/fs/cgroup", None),
        ("4:memory:/x", "/", "/sys/fs/cgroup", None),
    ],
)
def test_own_group_is_found(kernel: Kernel, inside: str, root: str, mount: str, expected: str | None) -> None:
    kernel.inside = inside
    kernel.mounts = f"30 23 0:26 {root} {mount} rw shared:4 - cgroup2 cgroup2 rw\n"
    found = own_cgroup()
    assert (None if found is None else found.path) == expected


def test_version_1_alone_has_no_group(kernel: Kernel) -> None:
    kernel.mounts = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    assert own_cgroup() is None


def test_missing_permission_gives_no_group_and_leaves_nothing(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    assert make_cgroup(Cgroup(str(own)), "train_1.1") is None
    assert list(own.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [None, 5, "", "/", "/etc", "{mount}", "{mount}/other", "{mount}/../dpipe-train_1.1", "/tmp/dpipe-train_1.1"],
)
def test_record_can_only_name_the_attempts_group(kernel: Kernel, tmp_path: Path, path: object) -> None:
    (tmp_path / "dpipe-train_1.1").mkdir()
    (tmp_path / "m" / "other").mkdir(parents=True)
    mount = tmp_path / "m"
    kernel.mounts = f"30 23 0:26 / {mount} rw - cgroup2 cgroup2 rw\n"
    given = path.format(mount=mount) if isinstance(path, str) else path
    assert find_cgroup(given, "train_1.1") is None


def test_recorded_group_of_the_attempt_is_found(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "slice" / "dpipe-train_1.1").mkdir(parents=True)
    kernel.mounts = f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    found = find_cgroup(str(tmp_path / "slice" / "dpipe-train_1.1"), "train_1.1")
    assert found is not None
    (tmp_path / "slice" / "dpipe-train_1.1" / "cgroup.procs").write_text("5\n0\n7\n")
    assert found.pids() == {5, 7}
