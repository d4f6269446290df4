from typing import Any

import pytest

from api.executors.slurm.jobs import MOST_NODES, Job, expand, indices, parse_job, parse_state


@pytest.mark.parametrize(
    ("detail", "gpus"),
    [("gpu:2(IDX:0-1)", {0, 1}), ("gpu:h100:3(IDX:0,2-3)", {0, 2, 3}), ("gpu:0(IDX:)", set()), ("cpu", set())],
)
def test_gpu_indices_are_parsed(detail: str, gpus: set[int]) -> None:
    assert indices(detail) == gpus


def job(**fields: object) -> Job:
    found = parse_job({"job_id": 7, "name": "a.1", **fields})
    assert found is not None
    return found


def test_job_has_gpus_by_node() -> None:
    found = job(job_state=["RUNNING"], nodes="n[1-2]", gres_detail=["gpu:1(IDX:1)", "gpu:2(IDX:0-1)"])
    assert found.gpus == {"n1": {1}, "n2": {0, 1}}


def test_end_of_the_time_limit_is_parsed_if_present() -> None:
    ends = {"set": True, "infinite": False, "number": 1_764_000_000}
    assert job(job_state=["RUNNING"], end_time=ends).ends_at == 1_764_000_000.0
    assert job(job_state=["RUNNING"], end_time={**ends, "infinite": True}).ends_at is None


def test_completing_job_is_not_over() -> None:
    assert not job(job_state=["CANCELLED", "COMPLETING"]).is_over
    assert job(job_state=["CANCELLED"]).is_over


def test_requeued_job_is_pending_again() -> None:
    found = job(job_state=["PENDING"], state_reason="BeginTime")
    assert found.is_pending
    assert not found.is_over


def test_job_needs_only_a_number() -> None:
    given = (None, 3, {}, {"job_id": "x", "name": "y"}, {"job_id": True}, {"job_id": -1}, {"job_id": 0})
    assert [parse_job(each) for each in given] == [None] * 7
    unread = parse_job({"job_id": 7})
    assert unread is not None
    assert (unread.name, unread.states, unread.is_over, unread.is_pending) == ("", frozenset(), False, False)


@pytest.mark.parametrize("states", [None, [], [None, 7], {}, 3, "", [""]])
def test_job_with_unknown_states_is_neither_over_nor_pending(states: object) -> None:
    found = job(job_state=states)
    assert (found.is_over, found.is_pending, found.is_running) == (False, False, False)


NUMBERS = [None, "1", True, -1, 10**400, 10**18, float("nan"), float("inf"), [], {}]
FORMS: list[Any] = [
    *NUMBERS,
    *({"set": True, "infinite": False, "number": number} for number in NUMBERS),
    {"set": False, "infinite": True, "number": 0},
    {"set": True, "infinite": True, "number": 5},
]


@pytest.mark.parametrize("name", ["start_time", "end_time", "preempt_time", "restart_cnt", "exit_code"])
def test_invalid_number_is_unknown(name: str) -> None:
    for form in FORMS:
        given = {"return_code": form} if name == "exit_code" else form
        found = job(job_state=["RUNNING"], **{name: given})
        assert (found.starts_at, found.ends_at, found.preempted_at) == (None, None, None), form
        assert found.restarts >= 0


LISTS = [None, 3, [3, None], ["gpu:1(IDX:" + "9" * 9_999 + ")"], ["gpu:" * 99_999], [{}], "gpu:1(IDX:0)"]


@pytest.mark.parametrize("details", LISTS)
def test_invalid_gpu_list_is_empty(details: object) -> None:
    assert not any(job(job_state=["RUNNING"], nodes="n[1-2]", gres_detail=details).gpus.values())


def test_texts_are_short_and_printable() -> None:
    found = job(job_state=["PENDING"], user_name="\ud800", comment="a\nb\x1b[2J" * 999, partition=7, nodes=["n1"])
    assert (found.user, found.partition, found.nodes) == ("?", "", ())
    assert found.comment.startswith("a\N{SYMBOL FOR LINE FEED}b")
    assert found.comment.isprintable()


def test_states_are_found_by_number_also_for_array_tasks_and_heterogeneous_jobs() -> None:
    given = {
        "7": "RUNNING",
        "8_1": "RUNNING",
        "5+0": "PENDING",
        "x": "RUNNING",
        "\u00b2": "RUNNING",
        "9" * 99: "RUNNING",
    }
    states = [parse_state({"job_id": number, "state": [state]}) for number, state in given.items()]
    assert states == [(7, {"RUNNING"}), (8, {"RUNNING"}), (5, {"PENDING"}), None, None, None]
    assert parse_state({"job_id": 9, "state": None}) == (9, frozenset())
    assert parse_state(None) is None


@pytest.mark.parametrize(
    ("short", "names"),
    [
        ("", ()),
        ("head", ("head",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[08-10,12],gpu1", ("n08", "n09", "n10", "n12", "gpu1")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("n[3-1]", ()),
        ("n[1-", ()),
        ("n1]", ()),
    ],
)
def test_short_node_lists_are_expanded(short: str, names: tuple[str, ...]) -> None:
    assert expand(short) == names


@pytest.mark.parametrize(
    "text",
    [
        "n[1-999999999]",
        "n[0-9999][0-9999]",
        "n[0-9999][0-9999][0-9999][0-9999]",
        "n" + "[1-9]" * 10_000,
        "x" * 300 + "[1-999999999]",
        f"n[{'0' * 60_000}-{'9' * 5_000}]",
        "a[" * 30_000 + "]" * 30_000,
        "n[1-9]," * 9_000,
    ],
)
def test_hostile_node_list_gives_few_short_names(text: str) -> None:
    names = expand(text)
    assert len(names) <= MOST_NODES
    assert max(map(len, names), default=0) <= 255
