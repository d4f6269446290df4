"""A training from its start to its deletion, through the generated client."""

from tests.clients.walk_models import save_a_model
from tests.clients.walking import Walk
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def train(walk: Walk, server: TrainingServer) -> str:
    """Stop a toy training, resume it to its end, and return its id."""
    body = walk.body("StartBody", toy(60, step_seconds=0.1))
    assert walk.call("validate_training", body=body).valid
    task_id = str(walk.call("start_training", body=body, expected=201).task_id)
    server.await_step(task_id, 15)
    walk.call("save_checkpoint", task_id, expected=202)
    how = walk.body("StopTraining", {"timeout_seconds": 20})
    walk.call("stop_training", task_id, body=how, expected=202)
    walk.call("stop_training_task", task_id, body=how, expected=202)
    server.await_status(task_id, "stopped")
    walk.call("resume_training", task_id, body=walk.body("ResumeTraining", {}), expected=202)
    server.await_status(task_id, "completed")
    return task_id


def cache_ahead(walk: Walk, server: TrainingServer) -> None:
    """Cache the dataset `cats` before a training, read the cache status, and remove the cache."""
    body = walk.body("StartBody", toy(10, dataset={"directories": [{"dataset": "cats"}]}))
    task_id = str(walk.call("cache_dataset", body=body, expected=201).task_id)
    server.await_status(task_id, "completed")
    known = walk.call("list_dataset_caches", "cats").caches
    assert [(cache.task_id, cache.state.value) for cache in known] == [(task_id, "complete")]
    assert walk.call("validate_training", body=body).plan.cache.task_id == task_id
    until(lambda: walk.request("delete_training", task_id)[0] == 200, what="its GPU")
    assert walk.call("list_dataset_caches", "cats").caches == []


def read_its_results(walk: Walk, task_id: str) -> None:
    assert walk.call("get_training", task_id).status.value == "completed"
    assert walk.call("get_training_progress", task_id).status.value == "completed"
    assert [row.task_id for row in walk.call("list_trainings").tasks] == [task_id]
    assert walk.call("get_training_metrics", task_id).data
    assert walk.call("list_checkpoints", task_id).checkpoints
    assert walk.call("list_training_events", task_id).events
    artifacts = walk.call("list_artifacts", task_id).artifacts
    assert walk.call("download_artifact", task_id, artifacts[0].path)
    save_a_model(walk, task_id, next(str(one.path) for one in artifacts if one.path.endswith(".safetensors")))
    assert walk.call("get_training_logs", task_id).logs
    assert walk.call("search_training_logs", task_id, keyword="TRAINING COMPLETE").results
    assert walk.call("search_all_logs", keyword="TRAINING COMPLETE").results
    assert b"TRAINING COMPLETE" in walk.call("download_training_logs", task_id)


def resume_and_delete(walk: Walk, server: TrainingServer, task_id: str) -> None:
    walk.call("update_training", task_id, body=walk.body("PatchTraining", {"priority": 3}))
    again = walk.call("restart_training", task_id, expected=201).task_id
    server.await_status(str(again), "completed")
    # A training whose GPU is draining still holds it: 409 until its memory is free.
    until(lambda: walk.request("delete_training", str(again), files=True)[0] == 200, what="its GPU")
    until(lambda: server.client.get(f"/api/v1/training/{again}").status_code == 404)
    walk.call("delete_training", task_id, files=True)
