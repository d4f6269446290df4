"""Versions as zip files."""

import io
import tracemalloc
import zipfile
from typing import Any

import pytest
import toml

from api.datasets.caption_edits import CaptionEditRequest
from api.datasets.items.media import DatasetMedia
from api.datasets.records.media_facts import MediaFactsStore
from api.datasets.versions.export import DatasetExport, ExportForm
from api.db.database import Database
from api.domain.datasets.dataset import Dataset, item_id_of
from api.errors import BlobMissing
from api.files.media.decoder import MediaDecoder
from api.util.files.stored_form import StreamedFile
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def export(shelf: Shelf, sqlite: Database) -> Any:
    decoder = MediaDecoder(1)
    yield DatasetExport(shelf.service, DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock))
    decoder.close()


@pytest.fixture
def cats(shelf: Shelf) -> Dataset:
    made = shelf.make("cats")
    masked = shelf.item("b/a.png", b"other", None, mask_sha256=shelf.blob(b"mask"))
    shelf.version(shelf.item("a.png", b"one", "a cät"), masked)
    return made


def whole(file: StreamedFile) -> bytes:
    return b"".join(iter(file.next_part, None))


def files_in(file: StreamedFile) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(whole(file))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_trainer_layout_has_toml_captions_and_masks(export: DatasetExport, cats: Dataset):
    file = export.open("cats", None, ExportForm.TRAINER)
    files = files_in(file)
    assert file.name == "cats-1-trainer.zip"
    media = {"media/a.png", "media/a.txt", "media/b__a.png", "masks/b__a.png"}
    assert set(files) == {"dataset.toml", "manifest.jsonl", *media}
    assert (files["media/a.txt"].decode(), files["media/b__a.png"], files["masks/b__a.png"]) == (
        "a cät",
        b"other",
        b"mask",
    )
    directory = toml.loads(files["dataset.toml"].decode())["directory"]
    assert directory == [{"path": "media", "mask_path": "masks"}]


@pytest.mark.parametrize(
    ("form", "settings", "place"),
    [
        (ExportForm.KOHYA, "dataset_config.toml", "1_cats/a.png"),
        (ExportForm.AI_TOOLKIT, "ai_toolkit_datasets.yaml", "cats/a.png"),
    ],
)
def test_other_layouts_have_their_settings(
    export: DatasetExport, cats: Dataset, form: ExportForm, settings: str, place: str
):
    files = files_in(export.open("cats", "1", form))
    assert files[place] == b"one"
    assert b"cats" in files[settings]
    if form is ExportForm.KOHYA:
        assert toml.loads(files[settings].decode())["datasets"][0]["subsets"][0]["image_dir"] == "1_cats"


def test_same_version_gives_the_same_bytes(export: DatasetExport, cats: Dataset):
    one, other = (whole(export.open("cats", None, ExportForm.TRAINER)) for _ in range(2))
    assert one == other


def test_archive_is_streamed(export: DatasetExport, shelf: Shelf):
    shelf.make("large")
    shelf.version(*(shelf.item(f"{number}.bin", bytes([number]) * 8 * 2**20) for number in range(4)), name="large")
    file = export.open("large", None, ExportForm.TRAINER)
    tracemalloc.start()
    size = sum(map(len, iter(file.next_part, None)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 32 * 2**20
    assert most < 4 * 2**20


def test_missing_file_is_reported_before_anything_is_sent(export: DatasetExport, cats: Dataset, shelf: Shelf):
    shelf.blobs.path(shelf.blob(b"one")).unlink()
    with pytest.raises(BlobMissing):
        export.open("cats", None, ExportForm.TRAINER)


def test_exported_version_is_not_superseded(shelf: Shelf, export: DatasetExport, cats: Dataset):
    for caption in ("one", "two"):
        shelf.captions.edit("cats", CaptionEditRequest(changes={item_id_of("a.png"): caption}), "ann", dry_run=False)
        whole(export.open("cats", None, ExportForm.TRAINER))
    assert [row.ordinal for row in shelf.store.versions(cats.serial, PageRequest(10)).rows] == [3, 2, 1]


def test_excluded_items_are_not_exported(shelf: Shelf, export: DatasetExport):
    shelf.make("cats")
    shelf.version(shelf.item("a.png", b"one"), shelf.item("b.png", b"two", excluded=True))
    for form in ExportForm:
        names = files_in(export.open("cats", None, form))
        assert [name for name in names if name.endswith(".png")] == [next(name for name in names if "a.png" in name)]
