"""The files of a training: listed and downloaded, completely or in parts, and no other files."""

import asyncio
import os
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from tests.api.client import failure_of, scope
from tests.api.conftest import RUN_DIR, TRAINING, MakeWorld, World

HOST = [(b"host", b"127.0.0.1")]
CONTENT = bytes(range(256)) * 10
MODEL = f"{RUN_DIR}/epoch1/adapter_model.safetensors"


def with_files(world: World) -> str:
    """Return the id of a training with a file of each kind."""
    task_id = world.run()
    run_dir = world.make_checkpoints(task_id, 10, 20, complete=False)
    for name in ("epoch1", "samples"):
        (run_dir / name).mkdir()
    (run_dir / "epoch1" / "adapter_model.safetensors").write_bytes(CONTENT)
    (run_dir / "samples" / "epoch1.png").write_bytes(b"png")
    (run_dir / "config.toml").write_text("epochs = 3\n")
    (run_dir / "events.out.tfevents.1.host.1.0").write_bytes(b"e")
    (run_dir / "notes é #1?.txt").write_text("notes")
    (run_dir / "save").touch()
    return task_id


@pytest.fixture
def training(world: World) -> str:
    return with_files(world)


@pytest.fixture(scope="module")
def shared_training(shared_world: World) -> str:
    """A training for tests that change nothing, with secrets beside its files."""
    task_id = with_files(shared_world)
    (shared_world.storage / "tasks" / task_id / "secrets.json").write_text("SECRET")
    return task_id


def path_of(task_id: str, path: str = MODEL) -> str:
    return f"{TRAINING}/{task_id}/artifacts/{path}"


def download(world: World, task_id: str, path: str = MODEL, **headers: str) -> httpx.Response:
    return world.client.get(path_of(task_id, path), headers=headers)


def raw(world: World, task_id: str, path: str, method: str = "GET") -> httpx.Response:
    """Send the path as it is, without normalisation by a client."""
    return world.client.raw(method, path_of(task_id, path), HOST)


@pytest.mark.parametrize("replaced", [False, True])
def test_missing_storage_is_not_reported_as_no_files(world: World, training: str, replaced: bool):
    away = world.storage.rename(world.storage.with_name("away"))
    if replaced:
        world.storage.mkdir()
    requested = (
        "",
        "/checkpoints",
        "/artifacts",
        f"/artifacts/{MODEL}",
        "/metrics?metric=loss",
        "/logs",
        "/logs/download",
    )
    for path in (*requested, "/logs/search?keyword=step"):
        answer = world.client.get(f"{TRAINING}/{training}{path}")
        assert (path, answer.status_code, failure_of(answer)["error"]["code"]) == (path, 503, "storage_gone")
    if replaced:
        world.storage.rmdir()
    away.rename(world.storage)
    assert world.client.data(f"{TRAINING}/{training}/checkpoints")["checkpoints"] != []


# -- the list ------------------------------------------------------------------------------------------------------


def test_files_are_listed_with_kind_and_completeness(world: World, training: str):
    page = world.client.data(f"{TRAINING}/{training}/artifacts")
    shown = {one["path"].removeprefix(f"{RUN_DIR}/"): (one["kind"], one["is_complete"]) for one in page["artifacts"]}
    assert shown == {
        "config.toml": ("config", True),
        "epoch1/adapter_model.safetensors": ("model", True),
        "events.out.tfevents.1.host.1.0": ("events", True),
        "global_step10/state.json": ("checkpoint", True),
        "global_step20/state.json": ("checkpoint", False),
        "latest": ("checkpoint", True),
        "notes é #1?.txt": ("other", True),
        "samples/epoch1.png": ("sample", True),
    }
    sizes = {one["path"]: one["size_bytes"] for one in page["artifacts"]}
    assert sizes[MODEL] == len(CONTENT)
    assert page["total_bytes"] == sum(sizes.values())
    assert all(one["modified_at"].endswith("Z") for one in page["artifacts"])


def test_every_listed_file_can_be_downloaded(world: World, training: str):
    for one in world.client.data(f"{TRAINING}/{training}/artifacts")["artifacts"]:
        answer = raw(world, training, one["path"])
        assert (answer.status_code, len(answer.content)) == (200, one["size_bytes"])


def test_files_are_returned_in_pages(world: World, training: str):
    url = f"{TRAINING}/{training}/artifacts"
    page = world.client.data(url, params={"limit": 3})
    seen = page["artifacts"]
    assert (page["pagination"]["total"], page["pagination"]["has_more"]) == (8, True)
    while page["pagination"]["next_cursor"]:
        page = world.client.data(url, params={"limit": 3, "cursor": page["pagination"]["next_cursor"]})
        seen += page["artifacts"]
    assert seen == world.client.data(url)["artifacts"]
    assert page["total_bytes"] == sum(one["size_bytes"] for one in seen)


def test_training_without_files_has_an_empty_list(world: World):
    page = world.client.data(f"{TRAINING}/{world.start()}/artifacts")
    assert (page["artifacts"], page["total_bytes"], page["pagination"]["total"]) == ([], 0, 0)


def test_links_pipes_and_secrets_are_not_listed(world: World, training: str):
    output = world.output(training)
    (output / "link").symlink_to("/etc/passwd")
    (output / "directory").symlink_to("/etc")
    os.mkfifo(output / "pipe")
    assert world.client.data(f"{TRAINING}/{training}/artifacts")["pagination"]["total"] == 8


def test_files_can_be_listed_newest_first(world: World, training: str):
    run_dir = world.output(training) / RUN_DIR
    for epoch, at in ((2, 10**9 + 2), (10, 10**9 + 10)):
        (run_dir / f"epoch{epoch}").mkdir()
        (run_dir / f"epoch{epoch}" / "adapter_model.safetensors").write_bytes(b"m")
        os.utime(run_dir / f"epoch{epoch}" / "adapter_model.safetensors", (at, at))
    os.utime(run_dir / "epoch1" / "adapter_model.safetensors", (10**9, 10**9))
    url = f"{TRAINING}/{training}/artifacts"
    for order, expected in {"newest": ["epoch10", "epoch2", "epoch1"], "path": ["epoch1", "epoch2", "epoch10"]}.items():
        listed = [one["path"] for one in world.client.data(url, params={"order": order})["artifacts"]]
        assert [path.split("/")[1] for path in listed if path.endswith(".safetensors")] == expected
    assert world.client.get(url, params={"order": "oldest"}).status_code == 422


# -- downloads -----------------------------------------------------------------------------------------------------


def test_file_is_downloaded_whole(world: World, training: str):
    answer = download(world, training)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    assert answer.headers["etag"]


def test_models_of_different_trainings_are_downloaded_under_different_names(world: World, training: str):
    world.client.patch(f"{TRAINING}/{training}", json={"name": "My cats/2"})
    (shown,) = [
        one["download_name"]
        for one in world.client.data(f"{TRAINING}/{training}/artifacts")["artifacts"]
        if one["path"] == MODEL
    ]
    assert shown == "My-cats-2-epoch1.safetensors"
    assert download(world, training).headers["content-disposition"] == f'attachment; filename="{shown}"'
    world.client.patch(f"{TRAINING}/{training}", json={"name": None})
    assert 'filename="toy-epoch1.safetensors"' in download(world, training).headers["content-disposition"]


def test_part_of_a_file_is_downloaded(world: World, training: str):
    answer = download(world, training, Range="bytes=100-199")
    assert (answer.status_code, answer.content) == (206, CONTENT[100:200])
    assert answer.headers["content-range"] == "bytes 100-199/2560"
    assert failure_of(download(world, training, Range="bytes=,"))["code"] == 400


def test_several_parts_are_downloaded_at_once(world: World, training: str):
    answer = download(world, training, Range="bytes=0-9,100-109,-5")
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    for part in (CONTENT[:10], CONTENT[100:110], CONTENT[-5:]):
        assert part in answer.content
    assert answer.content.count(b"Content-Range: bytes ") == 3
    assert len(answer.content) == int(answer.headers["content-length"])


def test_many_small_ranges_are_cheap(world: World, training: str):
    requested = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2))
    answer = download(world, training, Range=requested)
    assert answer.status_code in (200, 206, 400, 416)
    assert len(answer.content) < 1_000_000


def test_if_range_returns_a_part_only_of_the_same_file(world: World, training: str):
    etag = download(world, training).headers["etag"]
    same = download(world, training, Range="bytes=0-9", **{"If-Range": etag})
    assert (same.status_code, same.content) == (206, CONTENT[:10])
    file = world.output(training) / MODEL
    file.write_bytes(b"another" * 500)
    os.utime(file, (1, 1))
    other = download(world, training, Range="bytes=0-9", **{"If-Range": etag})
    assert (other.status_code, other.content) == (200, b"another" * 500)


def test_empty_file_is_downloaded(world: World, training: str):
    (world.output(training) / "empty").touch()
    answer = download(world, training, "empty")
    assert (answer.status_code, answer.content) == (200, b"")


def test_name_with_strange_characters_is_downloaded(world: World, training: str):
    answer = raw(world, training, f"{RUN_DIR}/notes é #1?.txt")
    assert (answer.status_code, answer.content) == (200, b"notes")
    assert "\n" not in answer.headers["content-disposition"]


def test_allowed_origin_may_read_a_file_and_its_errors(make_world: MakeWorld):
    origin = "https://dashboard.example"
    world = make_world(cors_origins=(origin,))
    task_id = world.run()
    (world.output(task_id) / "a").write_text("a")
    for path, headers, status in (("a", {}, 200), ("a", {"Range": "bytes=9-"}, 416), ("b", {}, 404)):
        answer = download(world, task_id, path, Origin=origin, **headers)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [origin]


def test_large_file_is_streamed(world: World, training: str):
    size = 64 * 2**20
    with (world.output(training) / "large").open("wb") as file:
        file.truncate(size)
    got = 0

    async def take(message: dict[str, Any]) -> None:
        nonlocal got
        got += len(message.get("body", b""))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    tracemalloc.start()
    try:
        world.client.run(world.client._shell(scope("http", path_of(training, "large")), receive, take))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got == size
    assert peak < 8 * 2**20


def test_download_leaves_no_file_open(world: World, training: str):
    before = len(os.listdir("/proc/self/fd"))
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9999-"}, {"Range": "x"}):
        for _ in range(5):
            download(world, training, **headers)
            world.client.ask("HEAD", path_of(training), headers=headers)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# -- files outside -------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(world: World, training: str, tmp_path: Path) -> Path:
    """Files that must not be readable: beside the output directory, and elsewhere."""
    (world.storage / "tasks" / training / "secrets.json").write_text("SECRET")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("SECRET")
    return tmp_path / "outside"


@pytest.mark.parametrize(
    "path",
    [
        "../secrets.json", "..", ".", "/", "../../../node", "x/../../secrets.json", f"{RUN_DIR}/../../secrets.json",
        f"./{MODEL}", f"{RUN_DIR}//config.toml", f"{RUN_DIR}/", RUN_DIR, f"{RUN_DIR}/epoch1", f"/{MODEL}",
        "/etc/passwd", "//etc/passwd", "..\\secrets.json", "%2e%2e/secrets.json", "%252e%252e/secrets.json",
        "..%2fsecrets.json", "\0", f"{MODEL}\0", f"{MODEL}\0.png", "a\nb", "~/x", "x" * 300, "x/" * 3000, "é", "\udcff",
        "secrets.json", "absent", f"{MODEL}/x", f"{RUN_DIR}/absent/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_path_outside_its_files_is_not_found(shared_world: World, shared_training: str, path: str, method: str):
    if path == "\udcff":
        path = b"\xff".decode("latin-1")
    answer = raw(shared_world, shared_training, path, method)
    assert answer.status_code == 404
    assert b"SECRET" not in answer.content
    if method == "GET":
        assert failure_of(answer)["error"]["code"] in ("artifact_not_found", "not_found")


def test_link_is_not_followed(world: World, training: str, outside: Path):
    output = world.output(training)
    (output / "file").symlink_to(outside / "file")
    (output / "directory").symlink_to(outside)
    (output / "up").symlink_to("../secrets.json")
    (output / "inside").symlink_to(MODEL)
    for path in ("file", "directory/file", "up", "inside", "directory"):
        assert download(world, training, path).status_code == 404


def test_output_directory_that_is_a_link_is_not_followed(world: World, outside: Path):
    task_id = world.start()
    output = world.output(task_id)
    output.rmdir()
    output.symlink_to(outside)
    assert download(world, task_id, "file").status_code == 404
    assert world.client.data(f"{TRAINING}/{task_id}/artifacts")["artifacts"] == []


def test_pipe_and_directory_are_not_files(world: World, training: str):
    os.mkfifo(world.output(training) / "pipe")
    for path in ("pipe", RUN_DIR):
        assert download(world, training, path).status_code == 404


def test_file_of_another_training_is_not_reached(world: World, training: str):
    other = world.start()
    assert download(world, other).status_code == 404
    assert raw(world, other, f"../../{training}/output/{MODEL}").status_code == 404


@pytest.mark.parametrize("task_id", ["train_20260101_00000000", "..", ".", "a%00", "x" * 300])
def test_file_of_an_unknown_training_is_not_found(world: World, training: str, task_id: str):
    del training
    assert raw(world, task_id, MODEL).status_code == 404


@pytest.mark.parametrize(
    "name",
    [b"a\nb.png", b"a\rb", b"\x1b[2J.txt", b'q".txt', "\u202e.txt".encode(), b"a\\b", b"%41", b" ", b"a;b", b"\xff\xfe",
     "\xfc.png".encode(), b"\x7f", "\x85".encode(), b"a?b#c", b"x\n" * 100],
)  # fmt: skip
def test_listed_file_can_be_downloaded_whatever_its_name(world: World, training: str, name: bytes):
    directory = os.fsencode(world.output(training) / "odd")
    os.mkdir(directory)
    with open(os.path.join(directory, name), "wb") as file:
        file.write(b"inside")
    listed = world.client.data(f"{TRAINING}/{training}/artifacts", params={"limit": 100})["artifacts"]
    (path,) = [one["path"] for one in listed if one["path"].startswith("odd/")]
    answer = world.client.get(path_of(training, quote(path)))
    assert (answer.status_code, answer.content) == (200, b"inside")
    assert unquote(answer.headers["content-disposition"]).isprintable()
