import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.executor import AttemptRef, Submission
from api.executors.slurm.request import describe_job, write_script
from api.executors.slurm.storage_check import write_mark

REF = AttemptRef("train_1.1", Path("/storage/a b%c/1"), Path("/storage/log"))


def describe(**fields: object) -> dict[str, object]:
    submission = Submission(REF, ("x",), Path("/"), {"SECRET": "s"}, gpu_uuids=("a", "b"), **fields)  # type: ignore[arg-type]
    return describe_job(submission, "ours", {})


def test_job_is_held_and_single_by_name_and_never_requeued() -> None:
    job = describe()
    assert (job["name"], job["dependency"], job["hold"], job["requeue"]) == ("train_1.1", "singleton", True, False)
    assert job["tres_per_node"] == "gres/gpu:2"


def test_trainers_secrets_are_not_sent_to_slurm() -> None:
    assert "SECRET" not in str(describe())


def test_all_engine_options_are_sent() -> None:
    job = describe(node="n1", cluster_options=ClusterOptions("gpu", "h100", "team", "high", 90, 8, 4096))
    assert (job["partition"], job["constraints"], job["account"], job["qos"]) == ("gpu", "h100", "team", "high")
    assert job["time_limit"] == {"set": True, "infinite": False, "number": 90}
    assert (job["cpus_per_tres"], job["memory_per_tres"]) == ("gres/gpu:8", "gres/gpu:4096")
    assert job["required_nodes"] == ["n1"]


def test_unset_options_are_left_to_the_cluster() -> None:
    assert not describe().keys() & {"partition", "constraints", "account", "qos", "time_limit", "cpus_per_tres"}


def test_special_characters_in_a_path_are_preserved() -> None:
    assert "'/storage/a b%c/1'" in write_script("python", REF.uid, REF.directory)


HOSTILE = "$(touch a)`touch b`; touch c\\'\"\n--é&|*~{x,y}[1-9]"


def test_script_contains_no_user_options_and_no_unquoted_path(tmp_path: Path) -> None:
    directory = tmp_path / HOSTILE / "1"
    directory.mkdir(parents=True)
    write_mark(directory, REF.uid)
    (tmp_path / "python").write_text(f"#!{sys.executable}\nimport sys; print(ascii(sys.argv[-2]))\n")
    (tmp_path / "python").chmod(0o755)
    script = write_script(str(tmp_path / "python"), REF.uid, directory)
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, timeout=30)
    assert (directory / "supervisor.log").read_text().strip() == ascii(str(directory))
    assert {path.name for path in tmp_path.iterdir()} == {"python", HOSTILE}
    # Options are not part of it: Slurm gets them as JSON values.
    assert describe(cluster_options=ClusterOptions(HOSTILE, account=HOSTILE))["partition"] == HOSTILE


def test_slurm_opens_no_file_in_an_unchecked_storage() -> None:
    assert {describe()["standard_output"], describe()["standard_error"]} == {"/dev/null"}
    script = write_script("python", REF.uid, REF.directory)
    assert script.index("supervisor.log") < script.index("exec python")


def test_excluded_nodes_are_not_chosen_by_slurm() -> None:
    submission = Submission(REF, ("x",), Path("/"), {}, gpu_uuids=("a",))
    assert describe_job(submission, "ours", {}, ("n3",))["excluded_nodes"] == ["n3"]
    bound = describe_job(replace(submission, node="n3"), "ours", {}, ("n3",))
    assert (bound["required_nodes"], bound.get("excluded_nodes")) == (["n3"], None)
