"""Datasets, their versions, items and captions, through the generated client."""

import io
import zipfile
from typing import Any

from PIL import Image

from tests.api.uploads import archive
from tests.clients.walking import Walk
from tests.e2e.server import until
from tests.e2e.shelves import png


def fill_a_dataset(walk: Walk) -> str:
    """Upload two pictures, one of which has a caption, and return the id of that one."""
    body = walk.body("CreateDataset", {"name": "cats", "tags": ["animals"]})
    assert walk.call("create_dataset", body=body, expected=201, idempotency_key="cats").latest is None
    content = archive(**{"a.png": png(1), "a.txt": b"a cat", "b.png": png(2)})
    form = walk.models.UploadForm(file=walk.file(content, "cats.zip"), dataset="cats")
    walk.call("upload_dataset_file", body=form, expected=202)
    until(lambda: _dataset(walk, "cats").latest == 1, what="the first version")
    assert [row.name for row in walk.call("list_datasets", search="cat").datasets] == ["cats"]
    items = walk.call("list_items", "cats").items
    assert [(item.name, item.caption) for item in items] == [("a.png", "a cat"), ("b.png", None)]
    return str(items[0].item_id)


def read_items(walk: Walk, item_id: str) -> None:
    """Read an item, its thumbnail and its trained form; read the findings of all items; download the archive."""
    item = walk.call("get_item", "cats", item_id, version="1")
    assert (item.width, item.height, item.kind.value) == (96, 64, "image")
    assert walk.call("get_media", "cats", item_id) == png(1)
    small = walk.call("get_thumbnail", "cats", item_id, size=128)
    assert _picture(small) == ("JPEG", (96, 64))
    trained = walk.call("get_item_as_trained", "cats", item_id, model_type="flux", resolution="64")
    assert _picture(trained) == ("PNG", (64, 64))
    body = walk.body("CheckDataset", {"model_type": "flux", "resolutions": [64]})
    checked = walk.call("check_dataset", "cats", body=body)
    assert (checked.items, checked.unexamined, checked.trained_items) == (2, 0, 1)
    with zipfile.ZipFile(io.BytesIO(walk.call("export_dataset", "cats"))) as exported:
        assert {"a.png", "a.txt", "b.png"} <= {name.rpartition("/")[2] for name in exported.namelist()}


def manage_datasets(walk: Walk) -> None:
    """Edit and restore items and captions; rename and delete the dataset."""
    _edit_items(walk)
    before = _dataset(walk, "cats").latest
    edit = walk.body("EditCaptions", {"prefix": "ohwx, ", "version": before})
    edited = walk.call("edit_captions", "cats", body=edit)
    assert [each.after for each in edited.differences] == [f"ohwx, {each.before}" for each in edited.differences]
    assert edited.changed == 2
    assert edited.version.version == before + 1
    restored = walk.call("restore_dataset_version", "cats", "1", expected=201, idempotency_key="back")
    first = walk.call("get_dataset_version", "cats", "1")
    assert (restored.version, restored.manifest) == (before + 2, first.manifest)
    versions = walk.call("list_dataset_versions", "cats").versions
    assert [each.version for each in versions] == list(range(before + 2, 0, -1))
    change = walk.body("ChangeDataset", {"name": "kittens", "description": "small"})
    assert walk.call("change_dataset", "cats", body=change).description == "small"
    assert walk.call("delete_dataset", "kittens").name == "kittens"
    assert walk.request("get_dataset", "kittens")[0] == 404


def _edit_items(walk: Walk) -> None:
    """Exclude an item and include it again; split one off and restore it."""
    first, *others = [each.item_id for each in walk.call("list_items", "cats").items]
    excluded = walk.call("edit_items", "cats", body=walk.body("EditItems", {"exclude": [first]}))
    assert (excluded.excluded, excluded.items, excluded.trained, excluded.version.excluded) == (1, 2, 1, 1)
    included = walk.call("edit_items", "cats", body=walk.body("EditItems", {"include": [first]}))
    assert (included.included, included.previous) == (1, excluded.version.version)
    body = walk.body("SplitDataset", {"items": others, "into": "dogs"})
    split = walk.call("split_dataset", "cats", body=body, expected=201, idempotency_key="split")
    assert (split.moved, split.items, split.is_new, split.into_version.items) == (1, 1, True, 1)
    walk.call("restore_dataset_version", "cats", str(split.previous), expected=201, idempotency_key="whole")
    walk.call("delete_dataset", "dogs")


def use_a_directory(walk: Walk, directory: str) -> None:
    """Register a directory on the server as a dataset, and rescan it."""
    body = walk.body("CreateDataset", {"name": "registered", "directory": directory})
    assert walk.call("create_dataset", body=body, expected=201).directory == directory
    until(lambda: _dataset(walk, "registered").latest == 1, what="the first version")
    assert walk.call("refresh_dataset", "registered", expected=202).dataset.name == "registered"
    until(lambda: _dataset(walk, "registered").watch.state.value != "reading", what="its end")
    walk.call("delete_dataset", "registered")


def _dataset(walk: Walk, name: str) -> Any:
    return walk.call("get_dataset", name).dataset


def _picture(content: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.format, opened.size
