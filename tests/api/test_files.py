"""The file browser: which directories and files are listed, and to whom."""

import os
from pathlib import Path
from typing import Any

import pytest

from api.domain.access.principal import Role
from tests.api.client import failure_of
from tests.api.conftest import MakeWorld, World

FILES = "/api/v1/files"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory for datasets with folders, files, hidden files and links."""
    made = tmp_path / "srv"
    for name in ("cats/deep", "Zoo", ".hidden/below"):
        (made / name).mkdir(parents=True)
    (made / "b.png").write_bytes(b"12345")
    (made / "a.txt").touch()
    (made / ".secret").touch()
    os.mkfifo(made / "pipe")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").touch()
    (made / "leads-out").symlink_to(outside)
    (made / "leads-out.txt").symlink_to(outside / "secret.txt")
    (made / "leads-to-hidden").symlink_to(made / ".hidden")
    (made / "leads-inside").symlink_to(made / "cats")
    (made / "nowhere").symlink_to(made / "missing")
    (made / "loop").symlink_to(made / "loop")
    return made


@pytest.fixture
def world(make_world: MakeWorld, root: Path) -> World:
    return make_world(dataset_directories=(root,), browse_directories=())


def listing(world: World, path: object = None, **query: Any) -> Any:
    given = {} if path is None else {"path": str(path)}
    return world.client.data(FILES, params={**given, **query})


def names(found: Any) -> list[str]:
    return [entry["name"] for entry in found["entries"]]


def test_without_a_path_the_allowed_directories_are_listed(world: World, root: Path):
    # The directory of downloaded models is below STORAGE_ROOT.
    (world.storage / "models").mkdir()
    found = listing(world)
    assert (found["path"], found["parent"], names(found)) == (None, None, [str(root)])


def test_directory_that_another_one_leads_to_is_not_listed_twice(make_world: MakeWorld, root: Path):
    hidden = root / ".hidden" / "below"
    world = make_world(dataset_directories=(root / "cats", hidden), browse_directories=(root,))
    assert names(listing(world)) == [str(root), str(hidden)]


def test_directory_is_listed_without_hidden_files_and_links_that_lead_out(world: World, root: Path):
    found = listing(world, root)
    assert names(found) == ["cats", "leads-inside", "Zoo", "a.txt", "b.png"]
    assert [entry["kind"] for entry in found["entries"]] == ["directory"] * 3 + ["file"] * 2
    assert (found["entries"][4]["size_bytes"], found["parent"], found["truncated"]) == (5, None, False)
    below = listing(world, root / "leads-inside")
    assert (below["path"], below["parent"], names(below)) == (str(root / "cats"), str(root), ["deep"])
    assert names(listing(world, root, only_directories="true")) == ["cats", "leads-inside", "Zoo"]


def test_administrators_see_links_to_programs_outside(make_world: MakeWorld, tmp_path: Path):
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "python3.12").touch(0o755)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python").symlink_to("python3")
    (tmp_path / "venv" / "python3").symlink_to(tmp_path / "usr" / "python3.12")
    world = make_world(auth="required", dataset_directories=(tmp_path / "venv",))
    assert names(listing(world.signed_in("ada", Role.ADMIN), tmp_path / "venv")) == ["python", "python3"]
    assert names(listing(world.signed_in("tom", Role.TRAINER), tmp_path / "venv")) == []


def test_pages_follow_each_other(world: World, root: Path):
    first = listing(world, root, limit=2)
    assert (names(first), first["pagination"]["total"]) == (["cats", "leads-inside"], 5)
    second = listing(world, root, limit=2, cursor=first["pagination"]["next_cursor"])
    assert names(second) == ["Zoo", "a.txt"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc",
        "/proc/self/root",
        "/proc/self/cwd",
        "/dev",
        "{root}/..",
        "{root}/../outside",
        "{root}/leads-out",
        "{root}/leads-to-hidden",
        "{root}/.hidden",
        "{root}/.hidden/below",
        "{root}/loop",
        "{root}/missing",
        "{root}/b.png",
        "{root}/pipe",
        "{root}2",
        "{storage}",
        "{storage}/tasks",
        "{storage}/models",
        "{storage}/models/..",
        "srv",
        "..",
        "{root}/\n",
    ],
)
def test_other_directories_are_not_found(world: World, root: Path, path: str):
    (world.storage / "models").mkdir()
    answered = world.client.get(FILES, params={"path": path.format(root=root, storage=world.storage)})
    assert answered.status_code == 404, answered.text
    assert failure_of(answered)["error"]["code"] == "directory_not_found"


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "", "\x00", "/srv\x00"])
def test_text_that_is_no_path_is_invalid(world: World, path: str):
    assert world.client.get(FILES, params={"path": path}).status_code == 422


def test_directory_that_contains_the_storage_hides_it(make_world: MakeWorld, tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    world = make_world(dataset_directories=(tmp_path,), browse_directories=())
    (world.storage / "models").mkdir()
    assert names(listing(world, tmp_path)) == ["pictures"]


def test_large_directory_is_bounded(world: World, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.system.files_service.MOST_NAMES", 3)
    assert listing(world, root)["truncated"]


def test_only_administrators_browse_further_directories(make_world: MakeWorld, root: Path, tmp_path: Path):
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / ".ssh").mkdir()
    world = make_world(auth="required", dataset_directories=(root,), browse_directories=(home,))
    trainer, admin = world.signed_in("tom", Role.TRAINER), world.signed_in("ada", Role.ADMIN)
    assert names(listing(trainer)) == [str(root)]
    assert trainer.client.get(FILES, params={"path": str(home)}).status_code == 404
    assert names(listing(admin)) == [str(home), str(root)]
    assert names(listing(admin, home)) == ["models"]
    assert world.signed_in("vic", Role.VIEWER).client.get(FILES).status_code == 403
    assert world.client.get(FILES).status_code == 401


def test_registered_directory_of_another_user_is_not_listed(make_world: MakeWorld, root: Path):
    world = make_world(auth="required", visibility="own", dataset_directories=(root,), browse_directories=())
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    made = ann.client.post("/api/v1/datasets", json={"name": "cats", "directory": str(root / "cats")})
    assert made.status_code == 201, made.text
    assert names(listing(ann, root / "cats")) == ["deep"]
    assert "cats" not in names(listing(bob, root))
    assert "leads-inside" not in names(listing(bob, root))
    assert bob.client.get(FILES, params={"path": str(root / "cats")}).status_code == 404
