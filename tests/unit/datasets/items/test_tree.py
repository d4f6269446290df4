import json
from pathlib import Path

import pytest

from api.datasets.items.tree import (
    FileTree,
    TreeFile,
    sort_files,
    stem_of,
    without_common_directory,
    without_export_directory,
)
from api.files.archives.limits import BadArchive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(folder: Path, files: dict[str, bytes | str]) -> list[TreeFile]:
    found = []
    for number, (path, content) in enumerate(files.items()):
        data = content.encode() if isinstance(content, str) else content
        (folder / str(number)).write_bytes(data)
        found.append(TreeFile(path, folder / str(number), len(data)))
    return found


def sort(folder: Path, files: dict[str, bytes | str]) -> FileTree:
    return sort_files(put(folder, files))


def paths(files: list[TreeFile]) -> list[str]:
    return [each.path for each in files]


def test_text_file_beside_media_is_its_caption(folder: Path):
    tree = sort(folder, {"a/x.png": b"", "a/x.txt": "  a cat\n", "a/y.mp4": b""})
    assert paths(tree.pictures) == ["a/x.png", "a/y.mp4"]
    assert tree.caption_of("a/x.png") == "a cat"
    assert tree.caption_of("a/y.mp4") is None


def test_caption_list_names_files_of_its_directory(folder: Path):
    captions = json.dumps({"x.png": ["first", "second"], "y.png": "one", "z.png": []})
    tree = sort(folder, {"a/x.png": b"", "a/captions.json": captions})
    assert (tree.caption_of("a/x.png"), tree.caption_of("a/y.png"), tree.caption_of("a/z.png")) == (
        "first",
        "one",
        None,
    )
    assert tree.further_captions == 1


def test_metadata_lines_name_files_and_their_texts(folder: Path):
    lines = '{"file_name": "x.png", "text": "a"}\n\n{"file_name": "sub/y.png", "prompt": "b"}\n{"file_name": "z.png"}'
    tree = sort(folder, {"x.png": b"", "metadata.jsonl": lines})
    assert (tree.caption_of("x.png"), tree.caption_of("sub/y.png"), tree.caption_of("z.png")) == ("a", "b", None)


def test_caption_list_wins_over_text_file_as_with_the_trainer(folder: Path):
    tree = sort(folder, {"captions.json": json.dumps({"x.png": "listed"}), "x.txt": "beside"})
    assert tree.caption_of("x.png") == "listed"
    assert tree.caption_of("x.jpg") == "beside"


@pytest.mark.parametrize(
    ("path", "stem", "side"),
    [
        ("masks/a/x.png", "a/x", "masks"),
        ("a/mask/x.png", "a/x", "masks"),
        ("Control/x.jpg", "x", "controls"),
        ("conditioning_images/x.jpg", "x", "controls"),
    ],
)
def test_pictures_in_side_directories_match_media_with_the_same_stem(folder: Path, path: str, stem: str, side: str):
    tree = sort(folder, {path: b""})
    assert list(getattr(tree, side)) == [stem]
    assert tree.pictures == []


def test_directory_in_kohya_form_sets_repeats(folder: Path):
    tree = sort(folder, {"10_cat/x.png": b"", "img/3_dog race/y.png": b"", "2024/z.png": b""})
    assert tree.num_repeats == {"10_cat": 10, "img/3_dog race": 3}


def test_common_top_directory_is_removed(folder: Path):
    files = put(folder, {"mine/a/x.png": b"", "mine/y.png": b""})
    assert paths(without_common_directory(files)) == ["a/x.png", "y.png"]


def test_export_is_imported_with_the_same_manifest(folder: Path):
    files = put(folder, dict.fromkeys(["dataset.toml", "media/x.png", "media/x.txt", "masks/x.png"], b""))
    assert paths(without_export_directory(files)) == ["x.png", "x.txt", "masks/x.png"]
    others = put(folder, dict.fromkeys(["media/x.png", "y.png", "dataset.toml"], b""))
    assert without_export_directory(others) == others


@pytest.mark.parametrize("names", [["10_cat/x.png"], ["masks/x.png"], ["a/x.png", "y.png"], ["a/x.png", "b/y.png"]])
def test_meaningful_top_directory_stays(folder: Path, names: list[str]):
    assert paths(without_common_directory(put(folder, dict.fromkeys(names, b"")))) == names


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("captions.json", "[1]", "a JSON object"),
        ("captions.json", "{", "not valid JSON"),
        ("captions.json", '{"x.png": 3}', "neither a text"),
        ("metadata.jsonl", '{"file_name": "x"}\n{"file": "x"}', "line 2"),
        ("x.txt", "w" * 20_001, "20,000 characters"),
        ("x.txt", "w" * 200_000, "160,000 bytes"),
    ],
)
def test_invalid_caption_file_is_rejected_by_name(folder: Path, name: str, content: str, reason: str):
    with pytest.raises(BadArchive) as rejected:
        sort(folder, {f"a/{name}": content})
    assert rejected.value.entry == f"a/{name}"
    assert reason in rejected.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_caption_may_have_any_common_encoding(folder: Path, encoding: str):
    assert sort(folder, {"x.txt": "eine Übung".encode(encoding)}).captions == {"x": "eine Übung"}


def test_caption_contains_nothing_that_a_database_rejects(folder: Path):
    assert sort(folder, {"x.txt": b"a\0b"}).captions == {"x": "a\N{REPLACEMENT CHARACTER}b"}
    assert sort(folder, {"captions.json": '{"x": "\\ud83d\\ude00"}'}).captions == {"x": "😀"}


def test_stem_is_a_path_without_its_suffix():
    assert [stem_of(path) for path in ("a/x.png", "x", "a.b/c")] == ["a/x", "x", "a.b/c"]
