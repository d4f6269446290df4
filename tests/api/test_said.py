"""Messages have codes, by which clients can translate them."""

from typing import Any

import pytest

from api.domain.machines.reading import FaultKind, XidEvent
from api.domain.reason import Reason
from api.executors.fake import outcome
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from api.util.clock import FakeClock
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.test_training_stop import stop

STEP = "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"


def result(world: World, task_id: str) -> dict[str, Any]:
    """Return the codes of a task's events with their parameters."""
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    assert [event["message"] for event in events if event["message_code"] is None] == []
    return {event["message_code"]["code"]: event["message_code"]["params"] for event in events}


def test_events_of_a_training_have_codes(world: World):
    task_id = world.run(gpu_ids=[1])
    world.prints(task_id, STEP)
    world.make_checkpoints(task_id, 1)
    world.train()
    world.client.patch(f"{TRAINING}/{task_id}", json={"priority": 5, "name": "b"})
    stop(world, task_id)
    world.train()
    world.end(task_id, outcome(exit_code=-15, stop_rung="terminate", phrases=()))
    codes = result(world, task_id)
    assert codes.keys() >= {"queued", "process_runs", "stage_training", "changes", "asked_to_stop", "stopped_by"}
    assert codes["got_gpus"] == {"gpus": "GPU 1"}
    assert [each["code"] for each in codes["changes"]["changes"]] == ["name_is_now", "priority_is_now"]


def test_failure_has_codes_and_the_line_of_the_trainer(world: World):
    task_id, line = world.run(), "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    world.prints(task_id, f"{line}\n")
    world.train()
    world.end(task_id, outcome(exit_code=1, phrases=()))
    failure = world.get(task_id)["failure"]
    assert failure["detail"] == f"A GPU ran out of memory: {line}."
    assert failure["detail_code"] == {"code": "cuda_memory_detail", "params": {"line": line}}
    assert failure["remedy_code"]["code"] == "cuda_memory_remedy"
    assert result(world, task_id)["cuda_memory_detail"] == {"line": line}


def test_hint_has_a_code_and_text_of_the_trainer_has_none(world: World):
    task_id = world.run()
    world.prints(task_id, "ModuleNotFoundError: No module named 'xformers'\n")
    world.train()
    world.end(task_id, outcome(exit_code=1, phrases=()))
    failure = world.get(task_id)["failure"]
    assert failure["detail_code"] is None
    assert failure["remedy_code"] == {"code": "hint_install_module", "params": {"what": "xformers"}}


def test_warning_has_a_code(make_world: MakeWorld):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    world.prints(task_id, STEP)
    world.train()
    clock.advance(100_000)
    world.train()
    code = world.get(task_id)["warning_code"]
    assert (code["code"], code["params"]["hang"]["code"]) == ("hangs", "no_step_where_usual")
    assert code == world.client.data(f"{TRAINING}/{task_id}/progress")["warning_code"]


@pytest.mark.parametrize("xid", [79, 48])
def test_health_has_a_code_for_each_reason_and_action(fake_world: World, source: FakeSource, xid: int):
    source.xids += [XidEvent(source.identities[0].uuid, xid)]
    fake_world.gpus.read_xids()
    health = fake_world.client.data("/api/v1/gpu/0/details")["health"]
    ((reason,), (action,)) = health["reason_codes"], health["action_codes"]
    assert (reason["code"], reason["params"]["xid"]) == ("xid", xid)
    assert reason["params"]["meaning"]["code"] == f"xid_{xid}"
    assert action["code"] == f"xid_{xid}_advice"
    (event,) = fake_world.client.data("/api/v1/gpu/events?type=xid")["events"]
    assert event["message_code"]["code"] == "xid_reported"


def test_waiting_reason_has_the_code_of_an_unavailable_gpu(fake_world: World, source: FakeSource):
    source.faults[0] = GPUFault(FaultKind.UNREADABLE, "as the driver said")
    fake_world.sweep()
    task_id = fake_world.start(gpu_ids=[0])
    fake_world.train()
    (obstacle,) = fake_world.get(task_id)["waiting_reason_code"]["params"]["obstacles"]
    assert obstacle["detail"] == "as the driver said"
    assert obstacle["detail_code"] == {"code": "unreadable", "params": {"why": "as the driver said"}}


def test_failing_driver_has_a_code(fake_world: World, source: FakeSource):
    away = Reason.of("the NVIDIA driver is not loaded (NVML code {code})", "driver_not_loaded", code=9)
    source.problem = SourceFault(away, Reason.of("load it", "load_driver"), 9)
    fake_world.sweep()
    status = fake_world.client.data("/api/v1/gpu/status")
    assert status["source_problem"] == "the NVIDIA driver is not loaded (NVML code 9): load it"
    code = status["source_problem_code"]
    assert (code["code"], code["params"]["reason"]["code"]) == ("source_fails", "driver_not_loaded")
    assert status["gpus"][0]["status_reason_code"]["params"]["why"]["params"] == code["params"]


def test_findings_have_codes_with_the_values_of_their_texts(world: World):
    body = {"model_type": "flux", "gpu_ids": [0], "config": {"epohcs": 2, "model": {"dtype": "x"}}, "dataset": {}}
    found = world.client.post(f"{TRAINING}/validate", json=body).json()["data"]
    texts = {each["message_code"]["code"]: each for each in (*found["errors"], *found["warnings"])}
    assert texts["save_interval_missing"]["remedy_code"]["code"] == "save_interval_missing_remedy"
    unknown = texts["key_unknown"]
    assert unknown["message_code"]["params"]["name"] == "epohcs"
    assert unknown["remedy_code"]["code"] == "advice"
    assert unknown["remedy_code"]["params"]["advice"]["code"] == "did_you_mean"
    mistakes = world.client.post(f"{TRAINING}/start", json=body).json()["error"]["errors"]
    assert {each["message_code"]["code"] for each in mistakes} >= {"save_interval_missing"}
