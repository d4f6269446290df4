from dataclasses import replace

from api.domain.machines.reading import ProcessKind
from api.gpus.sharing.foreign_use import (
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


def use_text(gpu: GPUReading) -> str | None:
    use = describe_use(gpu)
    return None if use is None else use.text


def test_process_with_significant_memory_is_in_use():
    gpu = reading(processes=(SMALL, LARGE))
    assert find_at_work(gpu) == [LARGE]
    assert is_in_use(gpu)
    assert not is_in_use(reading(processes=(SMALL,)))


def test_unknown_kind_of_process_may_be_computing():
    for kind, is_there in ((ProcessKind.UNKNOWN, True), (ProcessKind.GRAPHICS, False)):
        assert is_in_use(reading(processes=(replace(LARGE, kind=kind),))) is is_there
        silent = replace(LARGE, kind=kind, memory_mb=None)
        assert is_in_use(reading(processes=(silent,), vitals=vitals(memory_used_mb=9000))) is is_there


def test_use_names_the_process_with_user_and_command():
    assert use_text(reading(processes=(LARGE,))) == "pid 4711 (ada) holds 101 MB: python train.py"


def test_use_without_process_memory_is_marked():
    silent = replace(LARGE, memory_mb=None, user=None, command=None)
    gpu = reading(processes=(silent,), vitals=vitals(memory_used_mb=9000))
    assert use_text(gpu) == "pid 4711 holds an unknown amount of memory"


def test_unlisted_memory_means_an_unseen_process():
    gpu = reading(vitals=vitals(memory_used_mb=UNEXPLAINED_MB + 1))
    assert has_unseen_use(gpu)
    assert "in use by a process that cannot be seen from here" in (use_text(gpu) or "")


def test_gpu_without_values_has_no_known_use():
    gpu = reading(vitals=None, processes=(LARGE,))
    assert (use_text(gpu), find_at_work(gpu), has_unseen_use(gpu)) == (None, [], False)
