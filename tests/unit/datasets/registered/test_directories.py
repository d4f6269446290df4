import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.datasets.materials import DatasetDirectories
from api.datasets.registered import directories as registered_directories
from api.datasets.registered import hashing as directory_hashing
from api.datasets.registered.directories import RegisteredDirectories
from api.datasets.registered.known_files import RegisteredFileStore
from api.datasets.versions.references import DatasetReferences
from api.domain.access.principal import Permission
from api.domain.datasets.dataset import EntryProblem, ItemFilter, WatchState
from api.errors import Conflict, DatabaseUnavailable, DatasetChanged, Invalid
from api.util.http.pagination import PageRequest
from tests.patience import BUSY_SECONDS
from tests.unit.datasets.conftest import ANN, Shelf


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """The directory of a user."""
    root = tmp_path / "srv" / "media"
    files = {
        "a.png": "A",
        "a.txt": "one",
        "b.jpg": "B",
        "sub/c.png": "C",
        "masks/a.png": "mask",
        "notes.pdf": "x",
        ".hidden.png": "h",
        "cache/flux/x.png": "cached",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture
def registered(shelf: Shelf, tmp_path: Path) -> RegisteredDirectories:
    files = RegisteredFileStore(shelf.database)
    return RegisteredDirectories(shelf.service, shelf.store, files, [tmp_path / "srv"], shelf.clock)


def look(registered: RegisteredDirectories) -> None:
    """Run one round of both threads."""
    registered.check_once()
    registered.read_once()


def register(registered: RegisteredDirectories, directory: Path | str) -> Any:
    made = registered.create("media", ANN, {"directory": str(directory)})
    look(registered)
    return made


def items(shelf: Shelf, version: str | None = None) -> dict[str, str | None]:
    page = shelf.items.get_page("media", version, ItemFilter(), PageRequest())
    return {item.name: item.caption for item in page.rows}


def watch(shelf: Shelf) -> Any:
    return shelf.store.get("media").watch


def refresh(registered: RegisteredDirectories) -> None:
    registered.refresh("media", "ann")
    look(registered)


def test_directory_becomes_a_dataset_without_a_copy(shelf: Shelf, registered: RegisteredDirectories, media: Path):
    made = register(registered, media)
    assert (made.directory, made.watch.state, made.latest) == (str(media), WatchState.READING, None)
    assert items(shelf) == {"a.png": "one", "b.jpg": None, "sub/c.png": None}
    assert shelf.items.get_page("media", None, ItemFilter(), PageRequest()).rows[0].has_mask
    assert shelf.store.get("media").stored_bytes < 2000  # only the manifest
    assert watch(shelf).state is WatchState.SAME


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("/etc", "not permitted"),
        ("srv/media", "not absolute"),
        ("{srv}/none", "no such directory"),
        ("{srv}/../elsewhere", "not permitted"),
        ("{srv}/out", "not permitted"),
        ("{srv}/a\0b", "cannot be read"),
        ("{srv}/media/a.png", "no such directory"),
    ],
)
def test_directory_elsewhere_is_rejected(
    registered: RegisteredDirectories, media: Path, tmp_path: Path, directory: str, message: str
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "srv" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid) as rejected:
        register(registered, directory.format(srv=tmp_path / "srv"))
    (mistake,) = rejected.value.mistakes
    assert (mistake.pointer, message in mistake.message) == ("/directory", True)


def test_administrators_register_directories_that_they_may_browse(
    shelf: Shelf, registered: RegisteredDirectories, tmp_path: Path
):
    (tmp_path / "home" / "cats").mkdir(parents=True)
    registered.set_roots([tmp_path / "srv"], [tmp_path / "home"])
    fields = {"directory": str(tmp_path / "home" / "cats")}
    with pytest.raises(Invalid):
        registered.create("cats", replace(ANN, permissions=ANN.permissions - {Permission.SYSTEM_WRITE}), fields)
    assert registered.create("cats", ANN, fields).name == "cats"


def test_no_directory_is_registered_without_permitted_directories(shelf: Shelf, media: Path):
    none = RegisteredDirectories(shelf.service, shelf.store, RegisteredFileStore(shelf.database), [], shelf.clock)
    with pytest.raises(Invalid) as rejected:
        register(none, media)
    assert rejected.value.mistakes[0].message == "This server does not permit registered directories."


def test_changes_are_reported_and_nothing_else_happens(shelf: Shelf, registered: RegisteredDirectories, media: Path):
    register(registered, media)
    (media / "a.png").write_text("changed")
    (media / "b.jpg").unlink()
    (media / "d.png").write_text("D")
    look(registered)
    found = watch(shelf)
    assert (found.state, found.added, found.removed, found.changed) == (WatchState.CHANGED, 1, 1, 1)
    assert found.examples == ("a.png", "d.png", "b.jpg")
    assert shelf.store.get("media").latest == 1


def test_refresh_makes_a_version_of_the_current_files(shelf: Shelf, registered: RegisteredDirectories, media: Path):
    register(registered, media)
    (media / "a.txt").write_text("another")
    (media / "b.jpg").unlink()
    refresh(registered)
    assert items(shelf) == {"a.png": "another", "sub/c.png": None}
    assert items(shelf, "1") == {"a.png": "one", "b.jpg": None, "sub/c.png": None}
    assert watch(shelf).state is WatchState.SAME
    refresh(registered)
    assert shelf.store.get("media").latest == 2


def test_only_changed_files_are_read_again(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, monkeypatch: pytest.MonkeyPatch
):
    register(registered, media)
    (media / "a.png").write_text("changed")
    read: list[str] = []
    real = directory_hashing.open_plain
    monkeypatch.setattr(
        directory_hashing, "open_plain", lambda path, levels: (read.append(path), real(path, levels))[1]
    )
    refresh(registered)
    assert read == [str(media / "a.png")]


def test_missing_directory_is_reported_and_may_return(shelf: Shelf, registered: RegisteredDirectories, media: Path):
    register(registered, media)
    media.rename(media.parent / "away")
    look(registered)
    assert (watch(shelf).state, "No such file" in watch(shelf).problem) == (WatchState.GONE, True)
    (media.parent / "away").rename(media)
    look(registered)
    assert watch(shelf).state is WatchState.SAME


@pytest.mark.parametrize("above", [False, True])
def test_directory_replaced_by_a_link_is_not_followed(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, tmp_path: Path, above: bool
):
    register(registered, media)
    secret = tmp_path / "secret"
    (secret / media.name).mkdir(parents=True)
    for directory in (secret, secret / media.name):
        (directory / "x.png").write_text("secret")
    swapped = media.parent if above else media
    swapped.rename(tmp_path / "away")
    swapped.symlink_to(secret)
    refresh(registered)
    assert (watch(shelf).state, "contains a link" in watch(shelf).problem) == (WatchState.GONE, True)
    assert shelf.store.get("media").latest == 1


def test_links_are_not_followed(shelf: Shelf, registered: RegisteredDirectories, media: Path, tmp_path: Path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.png").write_text("secret")
    (media / "link.png").symlink_to(tmp_path / "secret" / "x.png")
    (media / "b.txt").symlink_to(tmp_path / "secret" / "x.png")
    (media / "linked").symlink_to(tmp_path / "secret")
    os.mkfifo(media / "pipe.png")
    register(registered, media)
    assert items(shelf) == {"a.png": "one", "b.jpg": None, "sub/c.png": None}


@pytest.mark.parametrize("name", [b"red\x1b[31m.png", b"\xff.png"])
def test_invalid_name_is_a_finding_and_other_files_are_used(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, name: bytes
):
    Path(os.fsdecode(os.fsencode(media) + b"/" + name)).write_text("x")
    register(registered, media)
    for _ in range(2):
        found = watch(shelf)
        finding, other = found.findings
        assert (found.state, found.misnamed, found.unread, found.added) == (WatchState.SAME, 1, 0, 0)
        assert (found.left_out, other.path, other.problem) == (1, "notes.pdf", EntryProblem.NOT_MEDIA)
        assert (finding.problem, finding.path) == (EntryProblem.NAME, repr(os.fsdecode(name)))
        assert finding.text.isprintable()
        look(registered)
    assert set(items(shelf)) == {"a.png", "b.jpg", "sub/c.png"}


@pytest.mark.parametrize(
    ("name", "content"), [("captions.json", "{"), ("metadata.jsonl", "{}"), ("b.txt", "x" * 200_000)]
)
def test_unreadable_captions_are_a_finding_and_other_files_are_used(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, name: str, content: str
):
    (media / "notes.pdf").unlink()
    (media / name).write_text(content)
    register(registered, media)
    look(registered)
    found = watch(shelf)
    assert (found.state, found.unread) == (WatchState.SAME, 1)
    assert [(each.path, each.problem) for each in found.findings] == [(name, EntryProblem.CAPTION)]
    assert items(shelf) == {"a.png": "one", "b.jpg": None, "sub/c.png": None}
    (media / name).unlink()
    refresh(registered)
    assert (watch(shelf).unread, watch(shelf).findings) == (0, ())


def test_unreadable_file_is_a_finding_until_it_is_readable(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, monkeypatch: pytest.MonkeyPatch
):
    real = directory_hashing.open_plain

    def fail(path: str, levels: int) -> int:
        if path.endswith("b.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, levels)

    with monkeypatch.context() as patched:
        patched.setattr(directory_hashing, "open_plain", fail)
        register(registered, media)
    look(registered)
    found = watch(shelf)
    assert (found.state, found.unread, found.findings[0].path) == (WatchState.SAME, 1, "b.jpg")
    assert (found.findings[0].problem, "Permission denied" in found.findings[0].text) == (EntryProblem.UNREADABLE, True)
    assert set(items(shelf)) == {"a.png", "sub/c.png"}
    refresh(registered)
    assert (watch(shelf).unread, "b.jpg" in items(shelf)) == (0, True)


def test_huge_file_is_read_in_turns_with_other_directories(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registered_directories, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(registered_directories, "REPORT_SECONDS", 0.0)
    huge = media.parent / "huge"
    huge.mkdir()
    with (huge / "endless.mp4").open("wb") as file:
        file.truncate(2**40)
    registered.create("huge", ANN, {"directory": str(huge)})
    began = time.monotonic()
    register(registered, media)
    for _ in range(3):
        look(registered)
    assert time.monotonic() - began < 5 + BUSY_SECONDS
    assert (watch(shelf).state, len(items(shelf))) == (WatchState.SAME, 3)
    found = shelf.store.get("huge").watch
    assert found is not None
    assert (found.state, found.total_bytes) == (WatchState.READING, 2**40)
    assert 0 < (found.read_bytes or 0) < 2**40
    shelf.service.delete("huge")
    look(registered)
    assert not registered._readings


def test_reading_of_a_dead_server_is_restarted(shelf: Shelf, registered: RegisteredDirectories, media: Path):
    register(registered, media)
    (media / "d.png").write_text("D")
    registered.refresh("media", "ann")
    files = RegisteredFileStore(shelf.database)
    other = RegisteredDirectories(shelf.service, shelf.store, files, [media.parent], shelf.clock)
    look(other)
    assert (watch(shelf).state, shelf.store.get("media").latest) == (WatchState.READING, 1)
    shelf.clock.advance(200)
    look(other)
    assert (watch(shelf).state, shelf.store.get("media").latest) == (WatchState.SAME, 2)
    look(registered)
    assert (watch(shelf).state, shelf.store.get("media").latest) == (WatchState.SAME, 2)


def test_directory_without_media_is_reported(shelf: Shelf, registered: RegisteredDirectories, tmp_path: Path):
    (tmp_path / "srv" / "empty").mkdir(parents=True)
    register(registered, tmp_path / "srv" / "empty")
    assert watch(shelf).problem == "it has no images or videos"


def test_uploaded_dataset_cannot_be_read_again(shelf: Shelf, registered: RegisteredDirectories):
    registered.create("cats", ANN, {})
    with pytest.raises(Conflict, match="not a directory"):
        registered.refresh("cats", "ann")


def test_request_survives_an_unavailable_database(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, monkeypatch: pytest.MonkeyPatch
):
    register(registered, media)
    (media / "d.png").write_text("D")
    registered.refresh("media", "ann")
    with monkeypatch.context() as patched:
        patched.setattr(registered._files, "of", lambda dataset: (_ for _ in ()).throw(DatabaseUnavailable()))
        look(registered)
    look(registered)
    assert shelf.store.get("media").latest == 2


# -- trainings
# -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def materials(shelf: Shelf, registered: RegisteredDirectories) -> DatasetDirectories:
    return DatasetDirectories(shelf.service, shelf.store, shelf.blobs, registered.locator)


def test_files_are_used_in_place_by_trainings(
    shelf: Shelf, registered: RegisteredDirectories, materials: DatasetDirectories, media: Path, tmp_path: Path
):
    register(registered, media)
    references = DatasetReferences(shelf.service, shelf.store, materials, tmp_path / "storage")
    pin = references._find("media", ())
    layout = materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    assert (layout.media / "sub__c.png").resolve() == media / "sub" / "c.png"
    assert layout.masks is not None
    assert (layout.masks / "a.png").read_text() == "mask"
    assert (layout.media / "captions.json").read_text() == '{"a.png":["one"]}'


def test_version_with_changed_files_cannot_be_trained_on(
    shelf: Shelf, registered: RegisteredDirectories, materials: DatasetDirectories, media: Path, tmp_path: Path
):
    register(registered, media)
    pin = DatasetReferences(shelf.service, shelf.store, materials, tmp_path)._find("media", ())
    materials.view(pin)
    (media / "a.png").write_text("changed")
    for attempt in (lambda: materials.view(pin), lambda: materials.lay_out(tmp_path / "t" / "d", pin, is_new=True)):
        with pytest.raises(DatasetChanged, match=r"a.png in .* has changed or was deleted since this version"):
            attempt()


def test_renamed_file_is_found_for_an_older_version(
    shelf: Shelf, registered: RegisteredDirectories, materials: DatasetDirectories, media: Path, tmp_path: Path
):
    register(registered, media)
    references = DatasetReferences(shelf.service, shelf.store, materials, tmp_path)
    old = references._find("media@1", ())
    (media / "b.jpg").rename(media / "z.jpg")
    refresh(registered)
    layout = materials.lay_out(tmp_path / "task" / "datasets", old, is_new=True)
    assert (layout.media / "b.jpg").resolve() == media / "z.jpg"
