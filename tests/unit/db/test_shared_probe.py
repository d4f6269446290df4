import os
from pathlib import Path

import pytest

from api.domain.reason import code_of
from api.domain.shared_storage import Probe
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


def test_what_one_writes_the_other_reads(here: SharedProbe, there: SharedProbe):
    there.look_for(here.file)
    for number in (1, 2):
        assert probe(here).number == number
        assert (probe(there).seen, probe(there).problem) == ({here.file: number}, None)


def test_what_is_not_there_is_not_read(here: SharedProbe, there: SharedProbe):
    here.look_for(there.file)
    assert (probe(here).seen, probe(here).problem) == ({}, None)


def test_clock_of_the_storage_is_compared_by_the_time_of_the_file(here: SharedProbe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.nodes.shared_probe.time.time", lambda: 0.0)
    offset = probe(here).offset
    assert offset is not None
    assert offset > 1e9


def test_lock_that_a_living_machine_has_and_that_can_be_had_here_is_told(here: SharedProbe, there: SharedProbe):
    there.look_for(here.file)
    for _ in range(2):
        probe(here)
        here._lock.release()  # as it looks where locks stay on their machine
        found = probe(there)
    assert code_of(found.problems[here.file]).code == "storage_without_locks"
    probe(here)
    assert probe(there).problems == {}


def test_lock_of_a_machine_that_has_died_can_be_had_and_says_nothing(here: SharedProbe, there: SharedProbe):
    there.look_for(here.file)
    probe(here)
    probe(there)
    here._lock.release()  # as the kernel does when its process is killed
    for _ in range(3):
        assert (probe(there).problem, probe(there).problems) == (None, {})


def test_file_that_cannot_be_read_is_told_of_alone(here: SharedProbe, there: SharedProbe, tmp_path: Path):
    for name in ("box3.00000000", there.file):
        here.look_for(name)
    probe(there)
    (tmp_path / "probes" / "box3.00000000").write_text("000000000001\n")
    (tmp_path / "probes" / "box3.00000000.lock").mkdir()  # as what belongs to another user, it cannot be opened
    found = probe(here)
    assert (found.seen, found.problem, [*found.problems]) == ({there.file: 1}, None, ["box3.00000000"])


def test_head_of_many_nodes_reads_each_within_a_few_probes(tmp_path: Path, clock: FakeClock):
    nodes = [SharedProbe(tmp_path, f"gpu{number}", clock) for number in range(200)]
    head = SharedProbe(tmp_path, "head", clock, most=5_000)
    for node in nodes:
        node.probe()
        head.look_for(node.file)
    for _ in range(6):
        head.probe()
        head.look_for(nodes[0].file)  # as its next report has it
    assert head.latest is not None
    assert head.latest.seen == {node.file: 1 for node in nodes}
    for node in nodes:
        node._lock.release()


def test_directory_that_is_not_there_is_told_and_not_made(tmp_path: Path, clock: FakeClock):
    found = probe(SharedProbe(tmp_path / "gone", "here", clock))
    assert (found.number, code_of(found.problem).code) == (None, "storage_failing")
    assert "No such file or directory" in found.problem.text
    assert not (tmp_path / "gone").exists()


def test_files_of_former_processes_are_removed_and_those_of_others_stay(tmp_path: Path, here: SharedProbe):
    place = tmp_path / "probes"
    place.mkdir()
    for name in ("here.00000000", "there.00000000"):
        (place / name).write_text("")
        os.utime(place / name, (0, 0))
    probe(here)
    assert {path.name for path in place.iterdir()} == {"there.00000000", here.file, f"{here.file}.lock"}


@pytest.mark.parametrize("name", ["../secrets", "", "a/b", "x" * 97])
def test_no_other_file_is_looked_for(here: SharedProbe, name: str):
    here.look_for(name)
    assert here._wanted == {}


def test_only_the_latest_few_are_looked_for(here: SharedProbe):
    for number in range(MOST_FILES + 1):
        here.look_for(f"head.{number}")
    assert "head.0" not in here._wanted
    assert len(here._wanted) == MOST_FILES
    here.forget("head.1")
    assert "head.1" not in here._wanted


def test_what_is_no_plain_file_holds_up_nobody(here: SharedProbe, there: SharedProbe, tmp_path: Path):
    here.look_for(there.file)
    probe(here)
    os.mkfifo(tmp_path / "probes" / there.file)
    assert (probe(here).seen, probe(here).problem) == ({}, None)


def test_number_is_written_through_no_link(here: SharedProbe, tmp_path: Path):
    (tmp_path / "probes").mkdir()
    (tmp_path / "elsewhere").write_text("stays as it is")
    (tmp_path / "probes" / here.file).symlink_to(tmp_path / "elsewhere")
    assert (probe(here).number, probe(here).problem is None) == (None, False)
    assert (tmp_path / "elsewhere").read_text() == "stays as it is"
