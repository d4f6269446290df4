"""Uploads by form and in parts, through the generated client."""

from tests.api.uploads import encode, picture
from tests.clients.walking import Walk
from tests.e2e.server import until


def upload_by_form(walk: Walk) -> None:
    """Upload one picture with its caption, which becomes a dataset."""
    form = walk.models.UploadForm(file=walk.file(picture(64, 48), "x.png"), prompt="a cat", dataset="form")
    task_id = walk.call("upload_dataset_file", body=form, expected=202, idempotency_key="form").task_id
    status = lambda: walk.call("get_preprocessing", task_id)  # noqa: E731
    until(lambda: status().status.value == "completed", what="the dataset")
    result = status().result
    assert (result.dataset, result.version, result.prompt) == ("form", 1, "a cat")
    walk.call("delete_dataset", "form")


def upload_by_parts(walk: Walk) -> None:
    """Upload a picture in two parts, and cancel another upload."""
    content = picture(64, 48, 7)
    upload_id = _begin(walk, len(content))
    _send(walk, upload_id, 0, content[:50])
    assert walk.call("get_upload", upload_id).offset == 50
    _send(walk, upload_id, 50, content[50:])
    until(lambda: walk.call("get_upload", upload_id).status.value == "completed", what="the dataset")
    assert walk.call("get_upload", upload_id).result.paths == ["x.png"]
    cancelled = _begin(walk, 4)
    receiving = walk.models.UploadStatus.RECEIVING
    assert [row.upload_id for row in walk.call("list_uploads", status=receiving).uploads] == [cancelled]
    walk.call("remove_upload", cancelled, tus_resumable="1.0.0", expected=204)
    assert walk.request("get_upload", cancelled)[0] == 404
    walk.call("delete_dataset", "parts")


def _begin(walk: Walk, size: int) -> str:
    said = {"upload_length": size, "upload_metadata": encode(dataset="parts", filename="x.png")}
    created = walk.call("create_upload", tus_resumable="1.0.0", expected=201, **said)
    assert (created.offset, created.size_bytes) == (0, size)
    return str(created.upload_id)


def _send(walk: Walk, upload_id: str, offset: int, content: bytes) -> None:
    part = {"body": walk.file(content), "upload_offset": offset, "tus_resumable": "1.0.0"}
    walk.call("continue_upload", upload_id, expected=204, **part)
