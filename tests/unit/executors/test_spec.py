import json
from pathlib import Path

from api.executors.attempt.orders import Spec
from api.executors.executor import AttemptRef, Submission
from api.executors.records import parse_spec
from api.executors.spec import describe

SUBMISSION = Submission(
    AttemptRef("a.1", Path("/data/a/attempts/1"), Path("logs")),
    ("python", "train.py"),
    Path("trainer"),
    {"HF_TOKEN": "hf_secret"},
    phrases=("DONE",),
    gpu_uuids=("GPU-0",),
)


def test_a_supervisor_and_whoever_finds_the_directory_read_what_was_written() -> None:
    content = json.loads(json.dumps(describe(SUBMISSION, "here")))
    spec = Spec(content)
    assert (spec.uid, list(spec.argv)) == ("a.1", ["python", "train.py"])
    described = parse_spec(json.dumps(content).encode())
    assert described is not None
    assert (described.uid, described.gpu_uuids) == ("a.1", ("GPU-0",))


def test_paths_do_not_depend_on_where_the_service_runs() -> None:
    content = describe(SUBMISSION, "here", use_cgroup=False)
    assert content["cwd"] == str(Path("trainer").absolute())
    assert content["log_directory"] == str(Path("logs").absolute())
    assert content["cgroup"] is False


def test_the_environment_is_not_in_it() -> None:
    assert "hf_secret" not in json.dumps(describe(SUBMISSION, "here"))
