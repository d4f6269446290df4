from dataclasses import replace
from pathlib import Path

from api.executors.executor import AttemptRef, Submission
from api.executors.slurm.request import describe_job, write_script
from api.models.engine import EngineWishes

REF = AttemptRef("train_1.1", Path("/storage/a b%c/1"), Path("/storage/log"))


def describe(**fields: object) -> dict[str, object]:
    submission = Submission(REF, ("x",), Path("/"), {"SECRET": "s"}, gpu_uuids=("a", "b"), **fields)  # type: ignore[arg-type]
    return describe_job(submission, "ours", {})


def test_a_job_is_held_alone_of_its_name_and_never_requeued() -> None:
    job = describe()
    assert (job["name"], job["dependency"], job["hold"], job["requeue"]) == ("train_1.1", "singleton", True, False)
    assert job["tres_per_node"] == "gres/gpu:2"


def test_secrets_of_the_trainer_are_not_told_to_slurm() -> None:
    assert "SECRET" not in str(describe())


def test_every_wish_is_passed_on() -> None:
    job = describe(node="n1", wishes=EngineWishes("gpu", "h100", "team", "high", 90, 8, 4096))
    assert (job["partition"], job["constraints"], job["account"], job["qos"]) == ("gpu", "h100", "team", "high")
    assert job["time_limit"] == {"set": True, "infinite": False, "number": 90}
    assert (job["cpus_per_tres"], job["memory_per_tres"]) == ("gres/gpu:8", "gres/gpu:4096")
    assert job["required_nodes"] == ["n1"]


def test_what_nobody_wishes_is_left_to_the_cluster() -> None:
    assert not describe().keys() & {"partition", "constraints", "account", "qos", "time_limit", "cpus_per_tres"}


def test_a_path_keeps_its_signs() -> None:
    assert "'/storage/a b%c/1'" in write_script("python", REF.uid, REF.directory)


def test_slurm_itself_opens_nothing_in_a_storage_that_its_machine_may_not_have() -> None:
    assert {describe()["standard_output"], describe()["standard_error"]} == {"/dev/null"}
    script = write_script("python", REF.uid, REF.directory)
    assert script.index("supervisor.log") < script.index("exec python")


def test_where_slurm_chooses_the_machine_it_is_none_of_those_that_are_barred() -> None:
    submission = Submission(REF, ("x",), Path("/"), {}, gpu_uuids=("a",))
    assert describe_job(submission, "ours", {}, ("n3",))["excluded_nodes"] == ["n3"]
    bound = describe_job(replace(submission, node="n3"), "ours", {}, ("n3",))
    assert (bound["required_nodes"], bound.get("excluded_nodes")) == (["n3"], None)
