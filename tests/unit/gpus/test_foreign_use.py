from dataclasses import replace

from api.domain.reading import ProcessKind
from api.gpus.foreign_use import (
    FOREIGN_COMPUTE_MB,
    UNEXPLAINED_MB,
    describe_use,
    find_at_work,
    has_unseen_use,
    is_in_use,
)
from api.gpus.snapshot import GPUReading
from tests.unit.builders import process, reading, vitals

SMALL = process(memory_mb=FOREIGN_COMPUTE_MB)
LARGE = process(memory_mb=FOREIGN_COMPUTE_MB + 1)


def told(gpu: GPUReading) -> str | None:
    use = describe_use(gpu)
    return None if use is None else use.text


def test_who_holds_more_than_a_little_is_at_work():
    gpu = reading(processes=(SMALL, LARGE))
    assert find_at_work(gpu) == [LARGE]
    assert is_in_use(gpu)
    assert not is_in_use(reading(processes=(SMALL,)))


def test_what_a_process_does_that_a_newer_node_has_a_word_for_may_be_computing():
    for kind, is_there in ((ProcessKind.UNKNOWN, True), (ProcessKind.GRAPHICS, False)):
        assert is_in_use(reading(processes=(replace(LARGE, kind=kind),))) is is_there
        silent = replace(LARGE, kind=kind, memory_mb=None)
        assert is_in_use(reading(processes=(silent,), vitals=vitals(memory_used_mb=9000))) is is_there


def test_use_is_told_by_the_process_with_its_user_and_command():
    assert told(reading(processes=(LARGE,))) == "pid 4711 (ada) holds 101 MB: python train.py"


def test_use_by_a_process_that_tells_no_memory_says_so():
    silent = replace(LARGE, memory_mb=None, user=None, command=None)
    gpu = reading(processes=(silent,), vitals=vitals(memory_used_mb=9000))
    assert told(gpu) == "pid 4711 holds an unknown amount of memory"


def test_memory_that_nobody_listed_holds_is_somebodys():
    gpu = reading(vitals=vitals(memory_used_mb=UNEXPLAINED_MB + 1))
    assert has_unseen_use(gpu)
    assert "in use by a process that cannot be seen from here" in (told(gpu) or "")


def test_of_a_gpu_without_values_no_use_is_known():
    gpu = reading(vitals=None, processes=(LARGE,))
    assert (told(gpu), find_at_work(gpu), has_unseen_use(gpu)) == (None, [], False)
