from collections.abc import Callable
from pathlib import Path

import pytest

from api.datasets.items.tree import TreeFile, sort_files, without_export_directory
from api.datasets.versions.reimport import MANIFEST, with_exported_names
from api.domain.datasets.dataset import ManifestItem, write_manifest

SHA = "a" * 64
ITEMS = (
    ManifestItem("a.jpg", SHA, 1, "of the jpg"),
    ManifestItem("a.png", SHA, 1, " with space around it\n"),
    ManifestItem("clips/b.mp4", SHA, 1, None, SHA),
)

Pack = Callable[..., list[TreeFile]]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Return the files of an archive."""

    def pack(manifest: bytes, **files: str) -> list[TreeFile]:
        shift = ITEMS[1].item_id
        names = {
            "dataset.toml": "",
            "media/a.jpg": "J",
            "media/a.txt": "of the jpg",
            f"media/a-{shift}.png": "P",
            f"media/a-{shift}.txt": " with space around it\n",
            "media/clips__b.mp4": "B",
            "masks/clips__b.png": "M",
        } | files
        for number, content in enumerate([*names.values(), manifest]):
            (tmp_path / str(number)).write_bytes(content if isinstance(content, bytes) else content.encode())
        listed = [*names, MANIFEST]
        return [TreeFile(name, path := tmp_path / str(n), path.stat().st_size) for n, name in enumerate(listed)]

    return pack


def test_files_get_their_original_names_captions_and_masks(pack: Pack):
    files = pack(b"".join(write_manifest(ITEMS)))
    exported = with_exported_names(without_export_directory(files))
    tree = sort_files(exported.files)
    exported.restore_captions(tree)
    assert [each.path for each in tree.pictures] == ["a.jpg", "a.png", "clips/b.mp4"]
    assert [tree.caption_of(item.path) for item in ITEMS] == [item.caption for item in ITEMS]
    assert tree.masks["clips/b"].file.read_text() == "M"


def test_caption_edited_in_the_archive_is_used(pack: Pack):
    files = pack(b"".join(write_manifest(ITEMS)), **{"media/a.txt": "edited"})
    exported = with_exported_names(without_export_directory(files))
    tree = sort_files(exported.files)
    exported.restore_captions(tree)
    assert tree.caption_of("a.jpg") == "edited"


@pytest.mark.parametrize(
    "manifest",
    [
        b"no json",
        b"[]\n",
        b'{"path": 3, "sha256": "", "size": 1, "caption": null, "mask": null, "control": null}\n',
        b"".join(write_manifest([ManifestItem("../out.mp4", SHA, 1), *ITEMS])),
        b"".join(write_manifest([ManifestItem("x.png", SHA, 1, "x" * 50_000)])),
    ],
)
def test_invalid_manifest_changes_no_name(pack: Pack, manifest: bytes):
    exported = with_exported_names(without_export_directory(pack(manifest)))
    assert (exported.items, "clips__b.mp4" in [each.path for each in exported.files]) == ((), True)
    assert MANIFEST not in [each.path for each in exported.files]


def test_other_archives_are_unchanged(tmp_path: Path):
    files = [TreeFile("a.png", tmp_path / "a.png", 1)]
    assert with_exported_names(files).files == files
