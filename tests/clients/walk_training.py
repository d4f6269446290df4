"""A training from its start to its deletion, through the generated client."""

from tests.clients.walk_models import save_a_model
from tests.clients.walking import Walk
from tests.comfyui_server import WORKFLOW
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


def rehearse(walk: Walk, server: TrainingServer) -> None:
    """Rehearse a toy training, read its figures, and delete it."""
    body = walk.body("StartBody", toy(60, step_seconds=0.1))
    task_id = str(walk.call("rehearse_training", body=body, expected=202).task_id)
    server.await_status(task_id, "completed")
    found = walk.call("get_training", task_id).rehearsal
    assert (found.steps, found.total_steps) == (8, 60)
    until(lambda: walk.request("delete_training", task_id)[0] == 200, what="its GPU")


def sweep(walk: Walk, server: TrainingServer) -> None:
    """Plan a sweep of two toy trainings, queue it, stop it, and delete its trainings."""
    wanted = {"request": toy(600, step_seconds=0.1), "values": {"/config/optimizer/lr": [0.001, 0.002]}}
    body = walk.body("CreateSweep", wanted | {"plan_only": True})
    assert walk.call("create_sweep", body=body).plan.total == 2
    body = walk.body("CreateSweep", wanted | {"early_stop": {"margin": 0.5}})
    sweep_id = str(walk.call("create_sweep", body=body, expected=201).sweep.sweep_id)
    assert [row.sweep_id for row in walk.call("list_sweeps").sweeps] == [sweep_id]
    assert walk.call("stop_sweep", sweep_id, expected=202).total == 2
    until(lambda: walk.call("get_sweep", sweep_id).status.value == "finished", what="the end of the sweep")
    for training in walk.call("get_sweep", sweep_id).trainings:
        task_id = str(training.task_id)
        until(lambda task_id=task_id: walk.request("delete_training", task_id)[0] == 200, what="its GPU")  # type: ignore[misc]


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


def sample_its_model(walk: Walk, server: TrainingServer, task_id: str) -> None:
    """Render a sample of the latest saved model, rate it, and choose the model."""
    wanted = {"sample_set": {"prompts": [{"text": "a cat"}], "seed": 1, "workflow": WORKFLOW}}
    made = walk.call("render_samples", task_id, body=walk.body("StartSampling", wanted), expected=202)
    server.await_status(str(made.task_id), "completed")
    [sample, _] = walk.call("list_training_samples", task_id).samples
    assert walk.call("get_training_sample_file", task_id, sample.sample_id).startswith(b"\x89PNG")
    assert walk.call("get_training_sample_thumbnail", task_id, sample.sample_id)
    rated = walk.call("rate_sample", task_id, sample.sample_id, body=walk.body("RateSample", {"rating": 5}))
    assert rated.rating == 5
    assert [model.mean for model in walk.call("rank_samples", task_id).models] == [5, None]
    assert walk.call("get_sample_sheet", task_id).startswith(b"\x89PNG")
    save_and_use_a_set(walk, task_id)
    name = made.sampling.checkpoints[0]
    assert walk.call("choose_model", task_id, body=walk.body("ChooseModel", {"checkpoint": name})).chosen == name
    assert walk.call("unchoose_model", task_id).chosen is None
    link = walk.call("link_into_comfyui", task_id, name, body=walk.body("LinkModel", {}))
    assert [each.file_name for each in walk.call("list_comfyui_links", task_id).links] == [link.file_name]
    assert walk.call("get_model_preview", task_id, name).startswith(b"\x89PNG")
    assert walk.call("unlink_from_comfyui", task_id, name).links == []
    kept = walk.call("preview_retention", task_id, keep_last=1).keep
    assert name in [each.name for each in kept]
    rule = walk.body("SetRetention", {"keep_last": 100})
    assert walk.call("set_retention", task_id, body=rule).deleted == []
    assert walk.call("get_retention", task_id).keep_last == 100


def save_and_use_a_set(walk: Walk, task_id: str) -> None:
    """Register a workflow, save a sample set with it, and render saved models automatically."""
    found = walk.call("find_workflow_nodes", body=walk.body("FindNodes", {"workflow": WORKFLOW}))
    assert (found.nodes.output, found.missing) == ("save", [])
    order = walk.body("CreateWorkflow", {"name": "Toy", "model_type": "toy", "workflow": WORKFLOW})
    flow = walk.call("create_workflow", body=order, expected=201, idempotency_key="workflow").workflow_id
    assert walk.call("get_workflow", flow).model_type == "toy"
    assert [row.name for row in walk.call("list_workflows").workflows] == ["Toy"]
    order = walk.body("CreateSampleSet", {"name": "cats", "prompts": [{"text": "a cat"}], "workflow": flow})
    assert walk.call("create_sample_set", body=order, expected=201, idempotency_key="set").version == 1
    assert walk.call("change_sample_set", "cats", body=walk.body("ChangeSampleSet", {"seed": 2})).version == 2
    assert walk.call("get_sample_set", "cats").seed == 2
    assert [row.name for row in walk.call("list_sample_sets").sample_sets] == ["cats"]
    change = walk.body("PatchTraining", {"samples": {"sample_set": "cats", "every": 2}})
    assert walk.call("update_training", task_id, body=change).samples.every == 2
    assert walk.call("delete_sample_set", "cats").name == "cats"
    assert walk.call("delete_workflow", flow).workflow_id == flow


def read_its_results(walk: Walk, server: TrainingServer, task_id: str) -> None:
    assert walk.call("get_training", task_id).status.value == "completed"
    assert walk.call("get_training_progress", task_id).status.value == "completed"
    assert [row.task_id for row in walk.call("list_trainings").tasks] == [task_id]
    assert walk.call("get_training_metrics", task_id).data
    checkpoint = walk.call("list_checkpoints", task_id).checkpoints[0].name
    wanted = walk.body("ExportCheckpoint", {"checkpoint": checkpoint})
    assert walk.call("export_checkpoint", task_id, body=wanted, expected=202).checkpoint == checkpoint
    sample_its_model(walk, server, task_id)
    assert walk.call("list_training_events", task_id).events
    artifacts = walk.call("list_artifacts", task_id).artifacts
    assert walk.call("download_artifact", task_id, artifacts[0].path)
    save_a_model(walk, task_id, next(str(one.path) for one in artifacts if one.path.endswith(".safetensors")))
    assert walk.call("get_training_logs", task_id).logs
    assert walk.call("search_training_logs", task_id, keyword="TRAINING COMPLETE").results
    assert walk.call("search_all_logs", keyword="TRAINING COMPLETE").results
    assert b"TRAINING COMPLETE" in walk.call("download_training_logs", task_id)


def resume_and_delete(walk: Walk, server: TrainingServer, task_id: str) -> None:
    walk.call("update_training", task_id, body=walk.body("PatchTraining", {"priority": 3, "tags": ["cats"]}))
    checkpoints = walk.call("list_checkpoints", task_id).checkpoints
    assert walk.call("delete_checkpoint", task_id, checkpoints[0].name).freed_bytes
    again = walk.call("restart_training", task_id, expected=201).task_id
    server.await_status(str(again), "completed")
    compared = walk.call("compare_trainings", tasks=f"{task_id},{again}", metric="loss,learning_rate").trainings
    assert [each.task_id for each in compared] == [task_id, again]
    # A training whose GPU is draining still holds it: 409 until its memory is free.
    until(lambda: walk.request("delete_training", str(again), files=True)[0] == 200, what="its GPU")
    until(lambda: server.client.get(f"/api/v1/training/{again}").status_code == 404)
    walk.call("delete_training", task_id, files=True)
