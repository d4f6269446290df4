"""Base models, downloads, and results as named versions, through the made client."""

from tests.api.uploads import picture
from tests.clients.walking import Walk
from tests.e2e.server import until


def look_at_models(walk: Walk) -> None:
    assert len(walk.call("get_models_list_models").models) == 24
    assert [preset.memory_gb for preset in walk.call("get_models_list_presets", "hidream").presets] == [24, 48]
    assert walk.call("get_models_get_preset", "flux", "24gb").memory_gb == 24
    tables = walk.call("get_models_get_settings", "flux").tables
    assert {(table.file, table.name) for table in tables} >= {("config", ""), ("dataset", "directory")}
    body = walk.body("ConvertForms", {"config_toml": "epochs = 2\n"})
    assert walk.call("post_models_convert", "flux", body=body).config_toml == "epochs = 2\n"
    # A host with so long a name cannot exist: the download fails at once.
    order = walk.body("StartDownload", {"url": f"http://{'a' * 64}.example/x", "sha256": "0" * 64})
    download = walk.call(
        "post_downloads_start_download", body=order, expected=202, idempotency_key="download"
    ).download_id
    assert walk.call("get_downloads_get_download", download).download_id == download
    assert [row.download_id for row in walk.call("get_downloads_list_downloads").downloads] == [download]
    until(lambda: walk.ask("get_downloads_get_download", download)[1].data.status.value == "failed")
    walk.call("post_downloads_pause_download", download, expected=409)
    walk.call("post_downloads_resume_download", download, expected=202)
    until(lambda: walk.ask("get_downloads_get_download", download)[1].data.status.value == "failed")
    given_up = walk.call("post_downloads_cancel_download", download, expected=202)
    assert given_up.status.value == "cancelled"
    walk.call("post_downloads_resume_download", download, expected=409)
    body = walk.body("ExamineWeights", {"path": "/nowhere/x.safetensors"})
    assert walk.call("post_models_validate", body=body, expected=404).code == "weights_not_found"


def keep_a_model(walk: Walk, task_id: str, artifact: str) -> None:
    wanted = walk.body("RegisterModel", {"task_id": task_id, "artifact": artifact, "name": "cats"})
    assert walk.call("post_registry_register", body=wanted, expected=201, idempotency_key="model").version == 1
    assert [row.name for row in walk.call("get_registry_list_registered").models] == ["cats"]
    walk.call("patch_registry_change_registered", "cats", body=walk.body("ChangeModel", {"tags": ["a"]}))
    assert walk.call("get_registry_get_registered", "cats").tags == ["a"]
    _push_a_version(walk)
    _show_a_version(walk)
    body = walk.body("ChangeModelVersion", {"aliases": ["prod"]})
    walk.call("patch_registry_change_model_version", "cats", "1", body=body)
    assert walk.call("get_registry_get_model_version", "cats", "prod").version == 1
    assert walk.call("get_registry_get_model_file", "cats", "1")
    written = walk.body("WriteMetadata", {"trigger": "ohwx"})
    walk.call("post_registry_write_metadata", "cats", "1", body=written, expected=201)
    assert len(walk.call("get_registry_list_model_versions", "cats").versions) == 2
    walk.call("patch_registry_change_model_version", "cats", "1", body=walk.body("ChangeModelVersion", {"aliases": []}))
    assert walk.call("delete_registry_delete_model_version", "cats", "2").version == 2
    walk.call("delete_registry_delete_registered", "cats")


def _show_a_version(walk: Walk) -> None:
    form = walk.models.SampleForm(file=walk.file(picture(64, 48), "x.png"), prompt="a cat", seed="7")
    made = walk.call("post_samples_add_sample", "cats", "1", body=form, expected=201, idempotency_key="sample")
    assert [row.prompt for row in walk.call("get_samples_list_samples", "cats", "1").samples] == ["a cat"]
    assert walk.call("get_samples_get_sample_file", "cats", "1", made.sample_id)
    assert walk.call("get_samples_get_sample_thumbnail", "cats", "1", made.sample_id)
    assert walk.call("delete_samples_delete_sample", "cats", "1", made.sample_id).sample_id == made.sample_id
    form = walk.models.ModelForm(file=walk.file(b"nothing", "x.safetensors"), name="dogs")
    upload = walk.call("post_samples_upload_model", body=form, expected=202, idempotency_key="dogs").upload_id
    until(lambda: walk.call("get_uploads_get_upload", upload).status.value == "failed")


def _push_a_version(walk: Walk) -> None:
    # Without a token it fails at once.
    order = walk.body("StartPush", {"repository": "ann/cats", "card": "never"})
    push = walk.call("post_pushes_start_push", "cats", "1", body=order, expected=202, idempotency_key="push").push_id
    until(lambda: walk.ask("get_pushes_get_push", push)[1].data.status.value == "failed")
    assert walk.call("get_pushes_get_push", push).push_id == push
    assert [row.push_id for row in walk.call("get_pushes_list_pushes").pushes] == [push]
    walk.call("post_pushes_pause_push", push, expected=409)
    walk.call("post_pushes_resume_push", push, expected=202)
    until(lambda: walk.ask("get_pushes_get_push", push)[1].data.status.value == "failed")
    assert walk.call("post_pushes_cancel_push", push, expected=202).status.value == "cancelled"
