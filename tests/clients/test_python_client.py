"""A client that openapi-python-client makes of the document calls every operation and understands each answer."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.api.uploads import picture
from tests.clients.conftest import run
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

PACKAGE = "made_client"

#: Operations whose success is text or bytes; every other one answers with a type of the document.
AS_THEY_ARE = {
    "get_system_get_metrics",
    "get_system_get_metrics_at_root",
    "get_logs_download",
    "get_training_get_artifact",
    "get_registry_get_model_file",
}


@pytest.fixture(scope="module")
def made(document_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    root = tmp_path_factory.mktemp("made")
    program = Path(sys.executable).with_name("openapi-python-client")
    said = run(program, "generate", "--path", document_file, "--meta", "none", "--output-path", root / PACKAGE)
    assert "Unable to parse" not in said
    sys.path.insert(0, str(root))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(root))


class Walk:
    """Calls operations by their names and remembers which."""

    def __init__(self, made: ModuleType, address: str, key: str) -> None:
        api = importlib.import_module(f"{PACKAGE}.api")
        self.operations = {
            name.rpartition(".")[2]: importlib.import_module(name)
            for _, name, is_package in pkgutil.walk_packages(api.__path__, f"{PACKAGE}.api.")
            if not is_package
        }
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.client = made.AuthenticatedClient(base_url=address, token=key, raise_on_unexpected_status=True)
        self.called: set[str] = set()

    def body(self, model: str, content: dict[str, Any]) -> Any:
        return getattr(self.models, model).from_dict(content)

    def ask(self, name: str, *path: str, **given: Any) -> tuple[int, Any]:
        answer = self.operations[name].sync_detailed(*path, client=self.client, **given)
        return int(answer.status_code), answer.parsed

    def call(self, name: str, *path: str, expected: int = 200, **given: Any) -> Any:
        """The data of an answer that has this status and the declared type; the error of a failure."""
        status, parsed = self.ask(name, *path, **given)
        assert status == expected, (name, status, parsed)
        assert parsed is not None, f"{name} does not know the type of its answer"
        self.called.add(name)
        if name in AS_THEY_ARE:
            return parsed
        return parsed.data if status < 400 else parsed.error


def test_made_client_calls_every_operation(made: ModuleType, server: TrainingServer):
    walk = Walk(made, str(server.client.base_url), server.first_key())
    _ask_about_the_machine(walk)
    _look_at_models(walk)
    _upload(walk)
    _hold_a_gpu(walk)
    _manage_keys(walk)
    _handle_alerts(walk)
    done = _train(walk, server)
    _read_what_it_made(walk, done)
    _go_on_and_clear_up(walk, server, done)
    assert walk.called == set(walk.operations)


def _ask_about_the_machine(walk: Walk) -> None:
    for name in ("get_health_get_health", "get_health_get_readiness", "get_system_get_overview"):
        walk.call(name)
    for name in ("get_gpu_get_summary", "get_gpu_get_events", "get_logs_get_own_logs", "get_system_list_strays"):
        walk.call(name)
    # None has strayed here.
    walk.call("post_system_stop_stray", "nobody.1", body=walk.body("StopStray", {}), expected=404)
    assert "nvidia_smi" in walk.call("get_system_get_metrics")
    assert "nvidia_smi" in walk.call("get_system_get_metrics_at_root")
    assert len(walk.call("get_gpu_get_status").gpus) == 8
    assert len(walk.call("get_gpu_get_available", count=2).available_gpus) == 2
    walk.call("get_logs_search_own", keyword="listening")
    for name in ("get_gpu_get_gpu", "get_gpu_get_details", "get_gpu_get_processes", "get_gpu_get_history"):
        walk.call(name, "0")


def _look_at_models(walk: Walk) -> None:
    assert len(walk.call("get_models_list_models").models) == 24
    assert [preset.memory_gb for preset in walk.call("get_models_list_presets", "hidream").presets] == [24, 48]
    assert walk.call("get_models_get_preset", "flux", "24gb").memory_gb == 24
    # Nothing listens there: it is cancelled, or has failed by then.
    order = walk.body("StartDownload", {"url": "http://127.0.0.1:9/x", "sha256": "0" * 64})
    download = walk.call(
        "post_downloads_start_download", body=order, expected=202, idempotency_key="download"
    ).download_id
    assert walk.call("get_downloads_get_download", download).download_id == download
    assert [row.download_id for row in walk.call("get_downloads_list_downloads").downloads] == [download]
    until(lambda: walk.ask("get_downloads_get_download", download)[1].data.status.value == "failed")
    walk.call("post_downloads_pause_download", download, expected=409)
    walk.call("post_downloads_resume_download", download, expected=202)
    until(lambda: walk.ask("get_downloads_get_download", download)[1].data.status.value == "failed")
    walk.call("post_downloads_cancel_download", download, expected=409)
    body = walk.body("ExamineWeights", {"path": "/nowhere/x.safetensors"})
    assert walk.call("post_models_validate", body=body, expected=404).code == "weights_not_found"


def _upload(walk: Walk) -> None:
    types = importlib.import_module(f"{PACKAGE}.types")
    file = types.File(payload=BytesIO(picture()), file_name="x.png")
    form = walk.models.UploadForm(video=file, prompt="a cat", dataset="made")
    task = walk.call("post_preprocess_upload_file", body=form, expected=202, idempotency_key="form")

    def is_done() -> bool:
        return bool(walk.call("get_preprocess_get_status", task.task_id).status == "completed")

    until(is_done, what="the dataset")
    [upload] = walk.call("get_uploads_list_uploads").uploads
    assert walk.call("get_uploads_get_upload", upload.upload_id).result.paths == ["x.png"]
    assert walk.ask("delete_uploads_remove_upload", upload.upload_id, tus_resumable="1.0.0")[0] == 204
    walk.called.add("delete_uploads_remove_upload")


def _hold_a_gpu(walk: Walk) -> None:
    body = walk.body("RegisterTask", {"gpu_ids": [7], "task_type": "training", "task_id": "mine"})
    assert walk.call("post_gpu_register_task", body=body, expected=201, idempotency_key="once").task_id == "mine"
    assert walk.call("get_gpu_get_tasks").tasks
    walk.call("get_gpu_get_task", "mine")
    walk.call("patch_gpu_update_task", "mine", body=walk.body("TaskProgress", {"progress": 5.5}))
    walk.call("delete_gpu_release_task", "mine")


def _manage_keys(walk: Walk) -> None:
    wanted = walk.body("GenerateKey", {"user_id": "anna", "role": "trainer", "quota": {"gpus": 2}})
    made = walk.call("post_auth_generate_key", body=wanted, expected=201, idempotency_key="key")
    walk.call("post_auth_log_in", body=walk.body("LogIn", {"key": made.api_key}))
    assert [key.key_id for key in walk.call("get_auth_list_keys", user_id="anna").keys] == [made.key_id]
    assert walk.call("get_auth_get_key", made.key_id).state.value == "active"
    rotated = walk.call("post_auth_rotate_key", made.key_id, body=walk.body("RotateKey", {}), expected=201)
    assert walk.call("delete_auth_revoke_key", rotated.key_id).state.value == "revoked"
    assert [user.quota.gpus for user in walk.call("get_auth_list_users").users if user.user_id == "anna"] == [2]
    change = walk.body("ChangeUser", {"quota": {"gpus": None}})
    assert walk.call("patch_auth_change_user", "anna", body=change).quota.gpus is None
    assert walk.call("get_auth_get_whoami").auth == "required"
    assert walk.call("post_auth_make_ticket").ticket
    walk.call("post_auth_log_out")
    assert walk.call("get_audit_get_audit", operation="generate-key").entries[0].actor == "admin"
    assert walk.call("get_audit_verify").ok
    assert walk.call("get_oidc_get_ways").auth == "required"
    # There is no provider to sign in by.
    walk.call("get_oidc_begin", expected=404)
    walk.call("get_oidc_finish", expected=404)


def _handle_alerts(walk: Walk) -> None:
    rule = {"rule_id": "hot", "title": "hot", "scope": "gpu", "when": ["temperature_gpu > 200"], "summary": "{gpu}"}
    assert walk.call("post_alerts_make_rule", body=walk.body("MakeRule", rule), expected=201).rule.when == rule["when"]
    assert walk.call("get_alerts_get_rule", "hot").severity.value == "warning"
    change = walk.body("ChangeRule", {"enabled": False})
    assert walk.call("patch_alerts_change_rule", "hot", body=change, dry_run=True).trial.tried in (True, False)
    assert "gpu_lost" in [each.rule_id for each in walk.call("get_alerts_list_rules").rules]
    walk.call("delete_alerts_delete_rule", "hot")
    assert walk.call("get_alerts_list_metrics").metrics
    wanted = {"name": "hook", "kind": "webhook", "url": "https://8.8.8.8/x", "enabled": False}
    made = walk.call("post_alerts_make_channel", body=walk.body("MakeChannel", wanted), expected=201).channel_id
    assert walk.call("get_alerts_get_channel", made).address == "https://8.8.8.8/…"
    walk.call("patch_alerts_change_channel", made, body=walk.body("ChangeChannel", {"per_hour": 7}))
    walk.call("post_alerts_test_channel", made, expected=409)
    assert [each.per_hour for each in walk.call("get_alerts_list_channels").channels] == [7]
    walk.call("delete_alerts_delete_channel", made)
    until_ = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    quiet = {"matchers": [{"label": "rule", "value": "hot"}], "until": until_, "comment": "x"}
    silence = walk.call("post_alerts_make_silence", body=walk.body("MakeSilence", quiet), expected=201).silence_id
    assert [each.silence_id for each in walk.call("get_alerts_list_silences").silences] == [silence]
    walk.call("delete_alerts_end_silence", silence)
    assert walk.call("get_alerts_list_alerts").counts.firing >= 0
    walk.call("get_alerts_list_deliveries")
    # None of this name has fired here.
    walk.call("get_alerts_get_alert", "alert_none", expected=404)
    walk.call("post_alerts_acknowledge_alert", "alert_none", body=walk.body("Acknowledge", {}), expected=404)
    walk.call("delete_alerts_withdraw_acknowledgement", "alert_none", expected=404)


def _train(walk: Walk, server: TrainingServer) -> str:
    """A toy that is stopped, resumed and runs to its end; its id."""
    body = walk.body("StartBody", toy(60, step_seconds=0.1))
    assert walk.call("post_training_validate", body=body).valid
    task_id = str(walk.call("post_training_start", body=body, expected=201).task_id)
    server.await_step(task_id, 15)
    walk.call("post_training_save", task_id, expected=202)
    how = walk.body("StopTraining", {"timeout_seconds": 20})
    walk.call("post_training_stop", task_id, body=how, expected=202)
    walk.call("post_training_stop_task", task_id, body=how, expected=202)
    server.await_status(task_id, "stopped")
    walk.call("post_training_resume", task_id, body=walk.body("ResumeTraining", {}), expected=202)
    server.await_status(task_id, "completed")
    return task_id


def _read_what_it_made(walk: Walk, task_id: str) -> None:
    assert walk.call("get_training_get_task", task_id).status.value == "completed"
    assert walk.call("get_training_get_progress", task_id).status.value == "completed"
    assert [row.task_id for row in walk.call("get_training_get_list").tasks] == [task_id]
    assert walk.call("get_training_get_metrics", task_id).data
    assert walk.call("get_training_get_checkpoints", task_id).checkpoints
    assert walk.call("get_training_get_events", task_id).events
    artifacts = walk.call("get_training_get_artifacts", task_id).artifacts
    assert walk.call("get_training_get_artifact", task_id, artifacts[0].path).payload.read()
    _keep_a_model(walk, task_id, next(str(one.path) for one in artifacts if one.path.endswith(".safetensors")))
    assert walk.call("get_logs_get_logs", task_id).logs
    assert walk.call("get_logs_search_task", task_id, keyword="TRAINING COMPLETE").results
    assert walk.call("get_logs_search_all", keyword="TRAINING COMPLETE").results
    assert b"TRAINING COMPLETE" in walk.call("get_logs_download", task_id).payload.read()


def _keep_a_model(walk: Walk, task_id: str, artifact: str) -> None:
    wanted = walk.body("RegisterModel", {"task_id": task_id, "artifact": artifact, "name": "cats"})
    assert walk.call("post_registry_register", body=wanted, expected=201, idempotency_key="model").version == 1
    assert [row.name for row in walk.call("get_registry_list_registered").models] == ["cats"]
    walk.call("patch_registry_change_registered", "cats", body=walk.body("ChangeModel", {"tags": ["a"]}))
    assert walk.call("get_registry_get_registered", "cats").tags == ["a"]
    body = walk.body("ChangeModelVersion", {"aliases": ["prod"]})
    walk.call("patch_registry_change_model_version", "cats", "1", body=body)
    assert walk.call("get_registry_get_model_version", "cats", "prod").version == 1
    assert walk.call("get_registry_get_model_file", "cats", "1").payload.read()
    written = walk.body("WriteMetadata", {"trigger": "ohwx"})
    walk.call("post_registry_write_metadata", "cats", "1", body=written, expected=201)
    assert len(walk.call("get_registry_list_model_versions", "cats").versions) == 2
    walk.call("patch_registry_change_model_version", "cats", "1", body=walk.body("ChangeModelVersion", {"aliases": []}))
    assert walk.call("delete_registry_delete_model_version", "cats", "2").version == 2
    walk.call("delete_registry_delete_registered", "cats")


def _go_on_and_clear_up(walk: Walk, server: TrainingServer, task_id: str) -> None:
    walk.call("patch_training_patch_task", task_id, body=walk.body("PatchTraining", {"priority": 3}))
    again = walk.call("post_training_restart", task_id, expected=201).task_id
    server.await_status(str(again), "completed")
    # A training whose GPU is draining still holds it: 409 until its memory is back.
    until(lambda: walk.ask("delete_training_delete_task", str(again), files=True)[0] == 200, what="its GPU")
    until(lambda: server.client.get(f"/api/v1/training/{again}").status_code == 404)
    walk.call("delete_training_delete_task", task_id, files=True)
