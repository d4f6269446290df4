import os
from pathlib import Path

import pytest

from api.domain.machines.shared_storage import Probe
from api.domain.reason import code_of
from api.nodes.shared_probe import MOST_FILES, SharedProbe
from api.util.clock import FakeClock


def probe(one: SharedProbe) -> Probe:
    one.probe()
    assert one.latest is not None
    return one.latest


@pytest.fixture
def here(tmp_path: Path, clock: FakeClock) -> SharedProbe:
    return SharedProbe(tmp_path, "here", clock)


@pytest.fixture
def there(tmp_path: Path, clock: FakeClock) -> SharedProbe:
    return SharedProbe(tmp_path, "there", clock)


def test_file_of_one_machine_is_read_by_another(here: SharedProbe, there: SharedProbe):
    there.watch_file(here.file)
    for number in (1, 2):
        assert probe(here).number == number
        assert (probe(there).seen, probe(there).problem) == ({here.file: number}, None)


def test_missing_file_is_not_read(here: SharedProbe, there: SharedProbe):
    here.watch_file(there.file)
    assert (probe(here).seen, probe(here).problem) == ({}, None)


def test_storage_clock_is_compared_by_the_files_time(here: SharedProbe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.nodes.shared_probe.time.time", lambda: 0.0)
    offset = probe(here).offset
    assert offset is not None
    assert offset > 1e9


def test_lock_of_a_living_machine_that_can_be_taken_here_is_reported(here: SharedProbe, there: SharedProbe):
    there.watch_file(here.file)
    for _ in range(2):
        probe(here)
        here._lock.release()  # as if locks were local to each machine
        found = probe(there)
    assert code_of(found.problems[here.file]).code == "storage_without_locks"
    probe(here)
    assert probe(there).problems == {}


def test_lock_of_a_dead_machine_can_be_taken_and_means_nothing(here: SharedProbe, there: SharedProbe):
    there.watch_file(here.file)
    probe(here)
    probe(there)
    here._lock.release()  # as the kernel does when its process is killed
    for _ in range(3):
        assert (probe(there).problem, probe(there).problems) == (None, {})


def test_unreadable_file_is_reported_alone(here: SharedProbe, there: SharedProbe, tmp_path: Path):
    for name in ("box3.00000000", there.file):
        here.watch_file(name)
    probe(there)
    (tmp_path / "probes" / "box3.00000000").write_text("000000000001\n")
    (tmp_path / "probes" / "box3.00000000.lock").mkdir()  # unreadable, like a file of another user
    found = probe(here)
    assert (found.seen, found.problem, [*found.problems]) == ({there.file: 1}, None, ["box3.00000000"])


def test_head_of_many_nodes_reads_each_within_a_few_probes(tmp_path: Path, clock: FakeClock):
    nodes = [SharedProbe(tmp_path, f"gpu{number}", clock) for number in range(200)]
    head = SharedProbe(tmp_path, "head", clock, most=5_000)
    for node in nodes:
        node.probe()
        head.watch_file(node.file)
    for _ in range(6):
        head.probe()
        head.watch_file(nodes[0].file)  # as in its next report
    assert head.latest is not None
    assert head.latest.seen == {node.file: 1 for node in nodes}
    for node in nodes:
        node._lock.release()


def test_missing_directory_is_reported_and_not_created(tmp_path: Path, clock: FakeClock):
    found = probe(SharedProbe(tmp_path / "gone", "here", clock))
    assert (found.number, code_of(found.problem).code) == (None, "storage_failing")
    assert "No such file or directory" in found.problem.text
    assert not (tmp_path / "gone").exists()


def test_files_of_former_processes_are_deleted_and_those_of_others_stay(tmp_path: Path, here: SharedProbe):
    place = tmp_path / "probes"
    place.mkdir()
    for name in ("here.00000000", "there.00000000"):
        (place / name).write_text("")
        os.utime(place / name, (0, 0))
    probe(here)
    assert {path.name for path in place.iterdir()} == {"there.00000000", here.file, f"{here.file}.lock"}


@pytest.mark.parametrize("name", ["../secrets", "", "a/b", "x" * 97])
def test_other_files_are_not_read(here: SharedProbe, name: str):
    here.watch_file(name)
    assert here._wanted == {}


def test_only_the_latest_few_files_are_read(here: SharedProbe):
    for number in range(MOST_FILES + 1):
        here.watch_file(f"head.{number}")
    assert "head.0" not in here._wanted
    assert len(here._wanted) == MOST_FILES
    here.forget("head.1")
    assert "head.1" not in here._wanted


def test_special_files_do_not_block(here: SharedProbe, there: SharedProbe, tmp_path: Path):
    here.watch_file(there.file)
    probe(here)
    os.mkfifo(tmp_path / "probes" / there.file)
    assert (probe(here).seen, probe(here).problem) == ({}, None)


def test_number_is_not_written_through_a_link(here: SharedProbe, tmp_path: Path):
    (tmp_path / "probes").mkdir()
    (tmp_path / "elsewhere").write_text("stays as it is")
    (tmp_path / "probes" / here.file).symlink_to(tmp_path / "elsewhere")
    assert (probe(here).number, probe(here).problem is None) == (None, False)
    assert (tmp_path / "elsewhere").read_text() == "stays as it is"
