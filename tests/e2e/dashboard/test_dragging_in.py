"""Uploads to a dataset in a browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.e2e.dashboard.conftest import Open
from tests.e2e.server import ROOT, until
from tests.e2e.shelves import png
from tests.e2e.training_server import TrainingServer

CLIENT = ROOT / "api" / "dashboard" / "vendor" / "tus.min.js"
fetched = pytest.mark.skipif(not CLIENT.exists(), reason="tus-js-client is not installed: make charts")

#: Bytes per second, so that uploads can be interrupted.
SLOW = 400_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of captioned pictures with a subfolder, and a system file."""
    place = tmp_path / "my cats"
    (place / "more").mkdir(parents=True)
    for index in range(4):
        (place / f"{index}.png").write_bytes(png(index))
        (place / f"{index}.txt").write_text(f"a cat from a folder, number {index}")
    (place / "more" / "last.png").write_bytes(png(9))
    (place / ".DS_Store").write_bytes(b"litter")
    return place


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A picture of 1.5 MB."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (700, 700, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def dataset(server: TrainingServer, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name)[:60]
    server.post("/datasets", 201, json={"name": name})
    return name


def choose_files(page: Page, what: Path) -> None:
    """Choose a file or folder in the picker."""
    kind = "[webkitdirectory]" if what.is_dir() else ":not([webkitdirectory])"
    page.locator(f".adding input[type=file]{kind}").set_input_files(what)


def uploads_to(server: TrainingServer, dataset: str) -> list[dict[str, Any]]:
    return [each for each in server.get("/uploads")["uploads"] if each["dataset"] == dataset]


def slow_down(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW}
    session.send("Network.emulateNetworkConditions", limits)


@fetched
def test_folder_upload_adds_items_with_captions(
    open_page: Open, server: TrainingServer, dataset: str, folder: Path
) -> None:
    page = open_page(f"#/datasets/{dataset}")
    expect(page.locator(".items-panel .empty")).to_be_visible()
    (folder / "notes.pdf").write_bytes(b"%PDF")
    choose_files(page, folder)
    expect(page.locator(".uploads-panel")).to_contain_text("9 of 10 files added")
    expect(page.locator(".uploads-panel")).to_contain_text("1 skipped: notes.pdf")
    expect(page.locator(".tile")).to_have_count(5)
    expect(page.locator(".tile").nth(3)).to_contain_text("number 3")
    assert len(server.get(f"/datasets/{dataset}/versions")["versions"]) == 1
    one_more = folder.parent / "5.png"
    one_more.write_bytes(png(5))
    choose_files(page, one_more)
    expect(page.locator(".tile")).to_have_count(6)
    names = [item["name"] for item in server.get(f"/datasets/{dataset}/items")["items"]]
    assert names == ["0.png", "1.png", "2.png", "3.png", "5.png", "more/last.png"]
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".uploads-panel")).to_be_hidden()


@fetched
def test_upload_continues_after_a_reload(open_page: Open, server: TrainingServer, dataset: str, noise: Path) -> None:
    page = open_page(f"#/datasets/{dataset}")
    page.on("dialog", lambda dialog: dialog.accept())
    expect(page.locator(".items-panel .empty")).to_be_visible()
    slow_down(page)
    choose_files(page, noise)
    [before] = until(lambda: [each for each in uploads_to(server, dataset) if each["offset"]], what="some bytes")
    page.reload()
    expect(page.get_by_text("1 upload to this dataset was interrupted")).to_be_visible()
    choose_files(page, noise)
    expect(page.locator(".uploads-panel")).to_contain_text("1 of 1 file added")
    [after] = uploads_to(server, dataset)
    assert (after["upload_id"], after["status"]) == (before["upload_id"], "completed")
    assert server.get(f"/datasets/{dataset}/items")["items"][0]["size_bytes"] == noise.stat().st_size


@fetched
def test_upload_is_paused_and_resumed_on_another_screen(
    open_page: Open, server: TrainingServer, dataset: str, noise: Path
) -> None:
    page = open_page(f"#/datasets/{dataset}")
    expect(page.locator(".items-panel .empty")).to_be_visible()
    slow_down(page)
    choose_files(page, noise)
    until(lambda: any(each["offset"] for each in uploads_to(server, dataset)), what="some bytes")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".uploads-panel")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("navigation").get_by_role("link", name="Trainings").click()
    until(lambda: uploads_to(server, dataset)[0]["status"] == "completed", what="the upload")
    page.go_back()
    expect(page.locator(".tile")).to_have_count(1)


def drop(page: Page, files: list[Path]) -> None:
    """Drop files on the page, as if they were dragged from another program."""
    contents = [{"name": path.name, "bytes": list(path.read_bytes())} for path in files]
    transfer = page.evaluate_handle(
        """(all) => all.reduce((found, { name, bytes }) => {
            found.items.add(new File([new Uint8Array(bytes)], name));
            return found;
        }, new DataTransfer())""",
        contents,
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(".start-form", event, {"dataTransfer": transfer})


@fetched
def test_folder_chosen_for_a_training_becomes_its_dataset(
    open_page: Open, server: TrainingServer, folder: Path
) -> None:
    page = open_page("#/new")
    page.locator(".dataset-choice input[webkitdirectory]").set_input_files(folder)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_have_value("my-cats")
    expect(dialog.get_by_label("Directory on the server")).to_have_count(0)
    dialog.get_by_role("button", name="Create").click()
    expect(page.locator(".toast")).to_contain_text("my-cats is ready and selected")
    expect(page.get_by_label("Dataset", exact=True)).to_have_value("my-cats")
    expect(page.locator(".uploads-panel")).to_contain_text("9 of 9 files added")
    expect(page.get_by_role("complementary", name="Plan")).to_contain_text("Items in the dataset5")
    versions = server.get("/datasets/my-cats/versions")["versions"]
    assert len(versions) == 1, versions


@fetched
def test_pictures_dropped_on_a_training_are_chosen_after_a_look_elsewhere(
    open_page: Open, server: TrainingServer, noise: Path
) -> None:
    page = open_page("#/new")
    expect(page.get_by_role("button", name="New dataset from files…")).to_be_visible()
    slow_down(page)
    drop(page, [noise])
    page.get_by_role("dialog").get_by_label("Name").fill("dropped")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(page.locator(".uploads-panel")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Trainings").click()
    until(lambda: server.get("/datasets/dropped")["dataset"]["latest"] == 1, what="the dataset")
    page.go_back()
    expect(page.get_by_label("Dataset", exact=True)).to_have_value("dropped")


def test_missing_upload_client_is_reported(open_page: Open, server: TrainingServer, dataset: str) -> None:
    def without(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('<meta name="uploads" content="tus">', ""))

    page = open_page("#/datasets")
    page.route(f"http://127.0.0.1:{server.port}/", without)
    page.goto(f"http://127.0.0.1:{server.port}/#/datasets/{dataset}")
    page.reload()
    button = page.get_by_role("button", name="Add files…")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.click(force=True)
    expect(page.get_by_text("Uploads are not available on this page")).to_be_visible()
