import pytest

from api.domain.access.read_scope import ReadScope
from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason
from api.domain.tasks.training import TaskSummary
from api.training.queue.waiting_messages import (
    LONGEST_REASON,
    Obstacle,
    caching,
    describe_request,
    hide_in_reason,
    needs_gpus,
    offer_obstacle,
    ranges,
)
from tests.unit.training.builders import offer, task


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (task("a"), "1 GPU"),
        (task("a", 2, min_memory=1024), "2 GPUs with 1,024 MB free"),
        (task("a", 1, 3), "GPU 3"),
        (task("a", 1, 3, "GPU-x"), "GPUs 3, GPU-x"),
    ],
)
def test_request_is_described(wanted: TaskSummary, words: str):
    assert describe_request(wanted) == words


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([], ""),
        ([3], "3"),
        ([0, 1, 2, 3, 4, 5, 8], "0–5, 8"),
        ([0, 2, 4], "0, 2, 4"),
        (list(range(0, 26, 2)), "0–24"),
    ],
)
def test_consecutive_numbers_are_a_range(numbers: list[int], words: str):
    assert ranges(numbers) == words


def test_common_obstacles_are_grouped_largest_first():
    obstacles = [
        (("", 0), Obstacle("held_by", "a")),
        (("", 1), Obstacle("status", "busy", "pid 9")),
        (("", 2), Obstacle("status", "busy", "pid 9")),
        (("", 3), Obstacle("too_small", "1,000")),
    ]
    waits = needs_gpus(task("b", 4), obstacles, (), {"a": "portrait"})
    assert waits.text == "needs 4 GPUs: GPUs 1–2 are busy (pid 9), GPU 0 is held by portrait, GPU 3 has 1,000 MB free"


def test_groups_after_the_third_are_counted():
    obstacles = [(("", index), Obstacle("held_by", f"t{index}")) for index in range(5)]
    waits = needs_gpus(task("b", 4), obstacles, ("9",), {})
    assert waits.text.endswith("GPU 2 is held by t2, 2 more are unavailable, too, GPU 9 does not exist")
    assert (waits.said.params["more"], waits.said.params["absent"]) == (2, ["9"])


def test_different_details_are_left_to_the_page_of_each_gpu():
    obstacles = [(("", index), Obstacle("status", "busy", f"pid {index}")) for index in range(2)]
    assert needs_gpus(task("b", 2), obstacles, (), {}).text == "needs 2 GPUs: GPUs 0–1 are busy"


def test_gpus_of_several_nodes_are_named_with_their_node():
    obstacles = [(("box", index), Obstacle("held_by", "a")) for index in (0, 1, 3)]
    obstacles += [(("gpu2", 0), Obstacle("status", "busy")), (("gpu3", 0), Obstacle("status", "busy"))]
    waits = needs_gpus(task("b", 4), [*obstacles, (("gpu3", 1), Obstacle("held_by", "c"))], (), {"a": "portrait"})
    assert waits.text == (
        "needs 4 GPUs: GPUs box:0–1, box:3 are held by portrait, GPUs gpu2:0, gpu3:0 are busy, GPU gpu3:1 is held by c"
    )
    assert [way["gpus"] for way in waits.said.params["obstacles"]] == ["box:0–1, box:3", "gpu2:0, gpu3:0", "gpu3:1"]


def test_fullest_nodes_are_named_and_the_rest_is_counted():
    obstacles = [((f"gpu{node}", index), Obstacle("status", "lost")) for node in range(9) for index in range(1 + node)]
    waits = needs_gpus(task("b", 4), obstacles, (), {})
    assert waits.text == ("needs 4 GPUs: GPUs gpu6:0–6, gpu7:0–7, gpu8:0–8 are lost, 21 more are unavailable, too")


def test_long_reason_is_cut():
    said = needs_gpus(task("b"), [(("", 0), Obstacle("status", "busy", "x" * 500))], (), {}).text
    assert "x" * (LONGEST_REASON - 1) + "…" in said
    assert "x" * LONGEST_REASON not in said


def test_lack_of_gpus_is_reported():
    assert needs_gpus(task("b", 9), (), (), {}).text == "needs 9 GPUs: there are too few"


def test_task_that_caches_the_same_directory_is_named():
    assert caching(["a"], {"a": "portrait"}).text == "portrait is caching the same dataset directory"
    assert caching(["a", "b"], {"a": "portrait"}).text == "portrait, b are caching the same dataset directory"


@pytest.mark.parametrize(
    ("gpu", "obstacle"),
    [
        (
            offer(0, is_available=False, status=GPUStatus.BUSY, reason="pid 9"),
            Obstacle("status", "busy", "pid 9"),
        ),
        (offer(0, free_mb=1000), Obstacle("too_small", "1,000")),
        (offer(0, free_mb=None), Obstacle("not_known")),
    ],
)
def test_unassigned_gpu_can_be_unsuitable(gpu: GPUOffer, obstacle: Obstacle):
    assert offer_obstacle(gpu, 2000) == obstacle


def test_closed_gpus_are_said_once():
    paused = [Reason.of("GPU {gpu} is paused until {until}", "gpu_paused", gpu=n, until="Wed 22:00") for n in (0, 1)]
    closed = Reason.of("the schedule has no hours for GPU {gpu}", "never_open", gpu=2)
    offers = [
        offer(n, is_available=False, status=GPUStatus.BUSY, reason=why) for n, why in enumerate([*paused, closed])
    ]
    obstacles = [(("", n), offer_obstacle(gpu, 0)) for n, gpu in enumerate(offers)]
    assert needs_gpus(task("a", 3), obstacles[:1] + obstacles[2:], (), {}).text == (
        "needs 3 GPUs: GPU 0 is paused until Wed 22:00, GPU 2 is closed"
    )
    assert needs_gpus(task("a", 3), obstacles, (), {}).text.endswith("GPUs 0–1 are paused, GPU 2 is closed")


ANN = ReadScope("ann", sees_all=False)
PROCESS = {"who": "pid 7", "memory": "5 MB", "command": ": secret.py"}


def test_hidden_reason_names_only_visible_tasks():
    obstacles = [
        (("", 0), Obstacle("held_by", "hers")),
        (("", 1), Obstacle("held_by", "his")),
        (("", 2), Obstacle("status", "busy", Reason.of("{who} holds {memory}{command}", "process", **PROCESS))),
    ]
    names = {"hers": "my run", "his": "secret plan"}
    hidden = hide_in_reason(needs_gpus(task("x"), obstacles, ("9",), names), ANN, lambda task_id: task_id == "hers")
    assert hidden.text.endswith(
        ": GPU 0 is held by my run, GPU 1 is held by another user's task, GPU 2 is busy (pid 7 holds 5 MB), "
        "GPU 9 does not exist"
    )
    assert "secret" not in str(hidden)
    assert [way.get("task_id") for way in hidden.said.params["obstacles"]] == ["hers", None, None]


def test_reader_with_full_scope_gets_the_same_text():
    said = needs_gpus(task("x"), [(("", 0), Obstacle("kept_for", "his"))], (), {"his": "a plan"})
    assert hide_in_reason(said, ReadScope(sees_commands=False), lambda task_id: True) == said


def test_caching_task_is_hidden_if_not_visible():
    hidden = hide_in_reason(caching(["hers", "his"], {"his": "secret"}), ANN, lambda task_id: task_id == "hers")
    assert hidden.text == "hers, another user's task are caching the same dataset directory"
    assert hidden.said.params["tasks"][1] == {"task_id": None, "name": None}
