import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.attempt.orders import Spec
from api.executors.executor import AttemptRef, Submission
from api.executors.records import parse_spec
from api.executors.spec import describe, reject_engine_options
from api.executors.trainer_user import TrainerUser

SUBMISSION = Submission(
    AttemptRef("a.1", Path("/data/a/attempts/1"), Path("logs")),
    ("python", "train.py"),
    Path("trainer"),
    {"HF_TOKEN": "hf_secret"},
    phrases=("DONE",),
    gpu_uuids=("GPU-0",),
)


def test_supervisor_and_service_read_the_written_spec() -> None:
    content = json.loads(json.dumps(describe(SUBMISSION, "here")))
    spec = Spec(content)
    assert (spec.uid, list(spec.argv)) == ("a.1", ["python", "train.py"])
    described = parse_spec(json.dumps(content).encode())
    assert described is not None
    assert (described.uid, described.gpu_uuids) == ("a.1", ("GPU-0",))


def test_paths_are_absolute() -> None:
    content = describe(SUBMISSION, "here", use_cgroup=False)
    assert content["cwd"] == str(Path("trainer").absolute())
    assert content["log_directory"] == str(Path("logs").absolute())
    assert content["cgroup"] is False


def test_environment_is_not_in_the_spec() -> None:
    assert "hf_secret" not in json.dumps(describe(SUBMISSION, "here"))


def test_other_user_and_opened_files_are_in_the_spec() -> None:
    user = TrainerUser("trainer", 7001, 7002, (44,), Path("/nonexistent"), "/bin/setpriv")
    submission = replace(SUBMISSION, output_dir=Path("/data/a/output"), files=("config.toml",))
    run_as = Spec(json.loads(json.dumps(describe(submission, "here", trainer_user=user)))).run_as
    assert run_as is not None
    assert (run_as.uid, run_as.gid, run_as.output) == (7001, 7002, "/data/a/output")


def test_without_another_user_trainers_run_as_their_supervisor() -> None:
    assert Spec(json.loads(json.dumps(describe(SUBMISSION, "here")))).run_as is None


def test_engine_options_are_rejected_on_one_machine():
    with pytest.raises(OSError, match="of a cluster"):
        reject_engine_options(replace(SUBMISSION, cluster_options=ClusterOptions("gpu")))
    reject_engine_options(SUBMISSION)
