"""Base models, downloads, and results as named versions, through the generated client."""

from tests.api.uploads import picture
from tests.clients.walking import Walk
from tests.e2e.server import until


def read_models(walk: Walk) -> None:
    assert len(walk.call("list_models").models) == 24
    assert [preset.memory_gb for preset in walk.call("list_presets", "hidream").presets] == [24, 48]
    assert walk.call("get_preset", "flux", "24gb").memory_gb == 24
    tables = walk.call("list_model_settings", "flux").tables
    assert {(table.file, table.name) for table in tables} >= {("config", ""), ("dataset", "directory")}
    body = walk.body("ConvertForms", {"config_toml": "epochs = 2\n"})
    assert walk.call("convert_config", "flux", body=body).config_toml == "epochs = 2\n"
    preset = walk.body("CreatePreset", {"name": "a", "model_type": "flux", "settings": {"epochs": 2}})
    made = walk.call("create_preset", body=preset, expected=201, idempotency_key="preset").preset_id
    walk.call("change_preset", made, body=walk.body("ChangePreset", {"shared": True}))
    assert walk.call("get_own_preset", made).shared
    assert [row.name for row in walk.call("list_own_presets").presets] == ["a"]
    assert walk.call("delete_preset", made).preset_id == made
    # A host with such a long name cannot exist, so the download fails immediately.
    order = walk.body("StartDownload", {"url": f"http://{'a' * 64}.example/x", "sha256": "0" * 64})
    download = walk.call("start_download", body=order, expected=202, idempotency_key="download").download_id
    assert walk.call("get_download", download).download_id == download
    assert [row.download_id for row in walk.call("list_downloads").downloads] == [download]
    until(lambda: walk.request("get_download", download)[1].data.status.value == "failed")
    walk.call("pause_download", download, expected=409)
    walk.call("resume_download", download, expected=202)
    until(lambda: walk.request("get_download", download)[1].data.status.value == "failed")
    cancelled = walk.call("cancel_download", download, expected=202)
    assert cancelled.status.value == "cancelled"
    walk.call("resume_download", download, expected=409)
    body = walk.body("ExamineWeights", {"path": "/nowhere/x.safetensors"})
    assert walk.call("validate_model_file", body=body, expected=404).code == "weights_not_found"


def save_a_model(walk: Walk, task_id: str, artifact: str) -> None:
    wanted = walk.body("RegisterModel", {"task_id": task_id, "artifact": artifact, "name": "cats"})
    assert walk.call("register_model", body=wanted, expected=201, idempotency_key="model").version == 1
    assert [row.name for row in walk.call("list_registered_models").models] == ["cats"]
    walk.call("change_registered_model", "cats", body=walk.body("ChangeModel", {"tags": ["a"]}))
    assert walk.call("get_registered_model", "cats").tags == ["a"]
    _push_a_version(walk)
    _show_a_version(walk)
    body = walk.body("ChangeModelVersion", {"aliases": ["prod"]})
    walk.call("change_model_version", "cats", "1", body=body)
    assert walk.call("get_model_version", "cats", "prod").version == 1
    assert walk.call("get_model_file", "cats", "1")
    written = walk.body("WriteMetadata", {"trigger": "ohwx"})
    walk.call("write_model_metadata", "cats", "1", body=written, expected=201)
    assert len(walk.call("list_model_versions", "cats").versions) == 2
    walk.call("change_model_version", "cats", "1", body=walk.body("ChangeModelVersion", {"aliases": []}))
    assert walk.call("delete_model_version", "cats", "2").version == 2
    walk.call("delete_registered_model", "cats")


def _show_a_version(walk: Walk) -> None:
    form = walk.models.SampleForm(file=walk.file(picture(64, 48), "x.png"), prompt="a cat", seed="7")
    made = walk.call("add_sample", "cats", "1", body=form, expected=201, idempotency_key="sample")
    assert made.sample_id in [row.sample_id for row in walk.call("list_samples", "cats", "1").samples]
    assert walk.call("get_sample_file", "cats", "1", made.sample_id)
    assert walk.call("get_sample_thumbnail", "cats", "1", made.sample_id)
    assert walk.call("delete_sample", "cats", "1", made.sample_id).sample_id == made.sample_id
    form = walk.models.ModelForm(file=walk.file(b"nothing", "x.safetensors"), name="dogs")
    upload = walk.call("upload_model", body=form, expected=202, idempotency_key="dogs").upload_id
    until(lambda: walk.call("get_upload", upload).status.value == "failed")


def _push_a_version(walk: Walk) -> None:
    # Without a token it fails immediately.
    order = walk.body("StartPush", {"repository": "ann/cats", "card": "never"})
    push = walk.call("start_push", "cats", "1", body=order, expected=202, idempotency_key="push").push_id
    until(lambda: walk.request("get_push", push)[1].data.status.value == "failed")
    assert walk.call("get_push", push).push_id == push
    assert [row.push_id for row in walk.call("list_pushes").pushes] == [push]
    walk.call("pause_push", push, expected=409)
    walk.call("resume_push", push, expected=202)
    until(lambda: walk.request("get_push", push)[1].data.status.value == "failed")
    assert walk.call("cancel_push", push, expected=202).status.value == "cancelled"
