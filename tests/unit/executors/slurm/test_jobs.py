import pytest

from api.executors.slurm.jobs import Job, expand, indices, parse_jobs


@pytest.mark.parametrize(
    ("short", "names"),
    [
        ("", ()),
        ("head", ("head",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[08-10,12],gpu1", ("n08", "n09", "n10", "n12", "gpu1")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
    ],
)
def test_nodes_in_the_short_form_are_expanded(short: str, names: tuple[str, ...]) -> None:
    assert expand(short) == names


def test_a_hostile_range_ends() -> None:
    assert len(expand("n[1-999999999]")) <= 10_000


@pytest.mark.parametrize(
    ("detail", "gpus"),
    [("gpu:2(IDX:0-1)", {0, 1}), ("gpu:h100:3(IDX:0,2-3)", {0, 2, 3}), ("gpu:0(IDX:)", set()), ("cpu", set())],
)
def test_the_numbers_of_gpus_are_read(detail: str, gpus: set[int]) -> None:
    assert indices(detail) == gpus


def job(**fields: object) -> Job:
    (found,) = parse_jobs({"jobs": [{"job_id": 7, "name": "a.1", **fields}]})
    return found


def test_a_job_has_its_gpus_by_node() -> None:
    found = job(job_state=["RUNNING"], nodes="n[1-2]", gres_detail=["gpu:1(IDX:1)", "gpu:2(IDX:0-1)"])
    assert found.gpus == {"n1": {1}, "n2": {0, 1}}


def test_the_end_of_its_time_is_read_where_there_is_one() -> None:
    ends = {"set": True, "infinite": False, "number": 1_764_000_000}
    assert job(job_state=["RUNNING"], end_time=ends).ends_at == 1_764_000_000.0
    assert job(job_state=["RUNNING"], end_time={**ends, "infinite": True}).ends_at is None


def test_a_job_that_completes_is_not_over() -> None:
    assert not job(job_state=["CANCELLED", "COMPLETING"]).is_over
    assert job(job_state=["CANCELLED"]).is_over


def test_a_requeued_job_is_pending_again() -> None:
    found = job(job_state=["PENDING"], state_reason="BeginTime")
    assert found.is_pending
    assert not found.is_over


@pytest.mark.parametrize("answer", [{}, {"jobs": None}, {"jobs": [None, 3, {}, {"job_id": "x", "name": "y"}]}])
def test_what_is_no_job_is_left_out(answer: dict[str, object]) -> None:
    assert parse_jobs(answer) == ()
