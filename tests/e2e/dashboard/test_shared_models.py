"""Models in a browser: samples, uploads, pushes, and downloads."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.api.uploads import picture
from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.dashboard.test_dragging_in import fetched, slow_down
from tests.e2e.dashboard.test_loading import BUDGET_BYTES, loaded
from tests.e2e.server import until
from tests.e2e.shelves import png
from tests.e2e.training_server import LONG, TrainingServer
from tests.local_hub import LocalHub, running_hub
from tests.media import clip
from tests.unit.files.weights.stand_ins import header_bytes

TOKEN = "hf_0123456789planted"
LORA = {"diffusion_model.blocks.0.q.lora_A.weight": [16, 64], "diffusion_model.blocks.0.q.lora_B.weight": [64, 16]}
SAMPLES = "/models/registry/cats/versions/1/samples"


def weights(more: int = 0) -> bytes:
    start, size = header_bytes({**LORA, "x": [more]} if more else LORA)
    return start + bytes(size)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with running_hub(LocalHub(token=TOKEN)) as found:
        yield found


@pytest.fixture(scope="module")
def server(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with version 1 of cats, two samples, and a hub."""
    root = tmp_path_factory.mktemp("shared")
    with TrainingServer(root / "server", HF_ENDPOINT=hub.address, PRIVATE_HOSTS_ALLOWED="127.0.0.1") as started:
        made = started.post("/models/upload", 202, files={"file": ("c.safetensors", weights())}, data={"name": "cats"})
        until(lambda: started.get(f"/uploads/{made['upload_id']}")["status"] == "completed", LONG)
        for seed, prompt in enumerate(("a cat on a sofa", "a cat in the rain")):
            sample = {"file": ("x.png", png(seed, (320, 240)))}
            started.post(SAMPLES, 201, files=sample, data={"prompt": prompt, "seed": "7", "step": "500"})
        yield started


def drop(page: Page, target: str, name: str, content: bytes, kind: str) -> None:
    """Drop a file onto an element."""
    script = """([name, bytes, kind]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name, { type: kind }));
        return transfer;
    }"""
    transfer = page.evaluate_handle(script, [name, list(content), kind])
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(target, event, {"dataTransfer": transfer})


@pytest.mark.parametrize(
    ("address", "opened"),
    [
        ("#/registry/cats", ""),
        ("#/registry/cats", "Push to a hub…"),
        ("#/registry/cats", "a cat in the rain"),
        ("#/models/downloads", "From a repository…"),
        ("#/models/downloads", "From a URL…"),
        ("#/registry", ""),
    ],
)
def test_transfers_have_no_accessibility_violations(open_page: Open, axe: str, address: str, opened: str) -> None:
    page = open_page(address)
    if address == "#/models/downloads":
        page.get_by_role("button", name="Other files…").click()
        page.get_by_role("menuitem", name=opened).click()
    elif opened == "Push to a hub…":
        page.locator(".version-card").get_by_role("button", name="Actions").click()
        page.get_by_role("menuitem", name=opened).click()
    elif opened:
        page.get_by_role("button", name=opened).click()
    expect(page.locator("dialog[open]" if opened else ".registered-row, .sample img").first).to_be_visible()
    page.wait_for_timeout(300)
    assert violations(page, axe) == []
    for look in looks(page):
        assert_fits(page, look)
    assert sum(loaded(page).values()) < BUDGET_BYTES


@fetched
def test_samples_are_added_viewed_and_deleted(open_page: Open, server: TrainingServer, tmp_path: Path) -> None:
    page = open_page("#/registry/cats")
    tiles = page.locator(".version-samples .sample")
    expect(tiles).to_have_count(2)
    drop(page, ".version-samples", "new.png", picture(64, 48), "image/png")
    dialog = page.locator("dialog[open]")
    expect(dialog.locator(".previews img")).to_be_visible()
    dialog.get_by_label("Prompt").fill("a tabby cat")
    dialog.get_by_label("Step", exact=True).fill("900")
    page.keyboard.press("Enter")
    expect(tiles).to_have_count(3)
    movie = clip(tmp_path / "x.mp4")
    page.locator(".version-samples input[type=file]").set_input_files(movie)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(tiles).to_have_count(4)
    expect(page.get_by_role("img", name="Sample 4")).to_be_visible()
    page.get_by_role("button", name="a tabby cat").focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("img", name="a tabby cat")).to_be_visible()
    expect(dialog).to_contain_text("step 900")
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("video")).to_be_visible()
    until(lambda: page.evaluate("document.querySelector('dialog video').readyState >= 1"), LONG)
    page.keyboard.press("ArrowLeft")
    for _ in range(2):
        dialog.first.get_by_role("button", name="Delete").click()
        page.locator("dialog[open]").last.get_by_role("button", name="Delete").click()
        expect(page.locator("dialog")).to_have_count(0)
        tiles.last.click()
        if tiles.count() == 2:
            break
    page.keyboard.press("Escape")
    expect(tiles).to_have_count(2)
    assert len(server.get(SAMPLES)["samples"]) == 2


@fetched
def test_invalid_sample_is_rejected(open_page: Open) -> None:
    page = open_page("#/registry/cats")
    expect(page.locator(".version-samples .sample")).to_have_count(2)
    drop(page, ".version-samples", "x.png", b"<svg onload=alert(1)>", "image/png")
    page.locator("dialog[open]").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".version-samples .note[data-tone=bad]")).to_contain_text("cannot be shown")
    expect(page.locator(".version-samples .sample")).to_have_count(2)


def test_version_is_pushed_with_its_samples(open_page: Open, hub: LocalHub) -> None:
    page = open_page("#/registry/cats")
    page.locator(".version-card").get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Push to a hub").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("cats-v1.safetensors")
    expect(dialog.get_by_label("Private")).to_be_checked()
    dialog.get_by_label("Repository", exact=True).fill("ann/cats")
    dialog.get_by_label("Hub token").fill("hf_wrong")
    dialog.get_by_role("button", name="Push").click()
    row = page.locator(".downloads .download-row")
    expect(row.first.locator(".note")).to_contain_text("token")
    page.locator(".version-card").get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Push to a hub").click()
    dialog.get_by_label("Repository", exact=True).fill("ann/cats")
    dialog.get_by_label("Hub token").fill(TOKEN)
    page.keyboard.press("Enter")
    link = row.first.get_by_role("link")
    expect(link).to_have_attribute("href", f"{hub.address}/ann/cats")
    assert any(path.startswith("samples/v1-") for path in hub.files["ann/cats"])
    assert "a cat on a sofa" in hub.files["ann/cats"]["README.md"].decode()
    assert TOKEN not in page.content()


@fetched
def test_model_upload_continues_after_a_reload(open_page: Open, server: TrainingServer, tmp_path: Path) -> None:
    page = open_page("#/registry")
    page.on("dialog", lambda dialog: dialog.accept())
    expect(page.locator(".registered-row")).to_have_count(1)
    file = tmp_path / "My LoRA.safetensors"
    file.write_bytes(weights(1_500_000))
    dialog = page.locator("dialog[open]")
    slow_down(page)
    page.locator(".adding input[type=file]").set_input_files(file)
    expect(dialog.get_by_label("Name")).to_have_value("My-LoRA")
    dialog.get_by_label("Name").fill("tabbies")
    dialog.get_by_label("SHA-256").fill(hashlib.sha256(file.read_bytes()).hexdigest())
    dialog.get_by_role("button", name="Upload").click()
    until(lambda: [each for each in server.get("/uploads?status=receiving")["uploads"] if each["offset"]], LONG)
    page.reload()
    expect(page.locator(".adding .note")).to_contain_text("My LoRA.safetensors (tabbies)")
    page.locator(".adding input[type=file]").set_input_files(file)
    expect(dialog.get_by_label("Name")).to_have_value("tabbies")
    page.keyboard.press("Enter")
    expect(page.locator(".adding")).to_contain_text("Saved as version 1 of tabbies.")
    expect(page.locator(".registered-row")).to_have_count(2)
    assert [each["filename"] for each in server.get("/uploads")["uploads"]].count(file.name) == 1
    drop(page, "body", "x.bin", b"nothing", "")
    dialog.get_by_role("button", name="Upload").click()
    expect(page.locator(".uploads-panel .note[data-tone=bad]")).to_contain_text("not a safetensors")


def test_files_are_downloaded_from_a_repository_and_a_url(
    open_page: Open, server: TrainingServer, hub: LocalHub, complaints: Complaints
) -> None:
    complaints.allowed = ("status of 422",)
    content = hub.add("ann/more", "a/x.safetensors", weights())
    hub.add("ann/more", "b/y.safetensors", weights())
    page = open_page("#/models/downloads")
    dialog = page.locator("dialog[open]")
    page.get_by_role("button", name="Other files…").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    dialog.get_by_label("Repository").fill("ann/more")
    dialog.get_by_label("Files").fill("a/*\n")
    dialog.get_by_label("Hub token").fill(TOKEN)
    dialog.get_by_role("button", name="Download").click()
    rows = page.locator(".downloads .download-row")
    expect(rows.first.locator(".status")).to_contain_text("completed")
    (found,) = server.get("/models/downloads")["downloads"]
    assert [Path(each["path"]).read_bytes() for each in found["components"]] == [content]
    page.get_by_role("button", name="Other files…").click()
    page.get_by_role("menuitem", name="From a URL").click()
    dialog.get_by_label("URL").fill(f"{hub.address}/ann/more/resolve/main/b/y.safetensors")
    dialog.get_by_label("SHA-256").fill(hashlib.sha256(weights()).hexdigest())
    dialog.get_by_role("button", name="Download").click()
    expect(rows).to_have_count(2)
    expect(rows.first.locator(".status")).to_contain_text(re.compile("completed|failed"))
    expect(rows.first.locator(".status")).to_contain_text("completed")


@pytest.fixture
def gate(hub: LocalHub) -> Iterator[threading.Event]:
    """Files of the hub are sent slowly until this event is set."""
    opened = threading.Event()

    def drip(handler: Any, content: bytes) -> bool:
        if opened.is_set():
            return False
        handler.answer(200, content[:100_000], len(content))
        with suppress(OSError):
            for at in range(100_000, len(content)):
                if opened.wait(0.1):
                    break
                handler.wfile.write(content[at : at + 1])
        handler.close_connection = True
        return True

    hub.fault = drip
    yield opened
    opened.set()
    hub.fault = None


def begin(server: TrainingServer, hub: LocalHub, name: str, status: str) -> str:
    """Start a download and wait for this status."""
    if status != "failed":
        hub.add(f"ann/{name}", "w.safetensors", weights(400_000))
    made = server.post("/models/download", 202, json={"repository": f"ann/{name}", "token": TOKEN})["download_id"]

    def has_status(wanted: str) -> bool:
        found = server.get(f"/models/download/{made}")
        return found["status"] == wanted and bool(wanted != "downloading" or found["components"])

    until(lambda: has_status("failed" if status == "failed" else "downloading"), LONG)
    if status == "paused":
        server.post(f"/models/download/{made}/pause", 202)
        until(lambda: has_status("paused"), LONG)
    return str(made)


def row_of(page: Page, name: str) -> Locator:
    return page.locator(".downloads .download-row", has_text=f"ann/{name}")


def cancel(page: Page, name: str) -> None:
    row_of(page, name).get_by_role("button", name=f"Cancel ann/{name}").click()
    page.get_by_role("button", name="Cancel download").click()


@pytest.mark.parametrize("status", ["downloading", "failed"])
def test_download_is_cancelled_by_keyboard_and_in_all_tabs(
    open_page: Open, server: TrainingServer, hub: LocalHub, gate: threading.Event, status: str
) -> None:
    name = f"left-{status}"
    begin(server, hub, name, status)
    page, other = open_page("#/models/downloads"), open_page("#/models/downloads")
    row, button = row_of(page, name), page.get_by_role("button", name=f"Cancel ann/{name}")
    # The second click of a double click must not close the dialog.
    button.dblclick()
    dialog = page.get_by_role("dialog", name="Cancel this download?")
    expect(dialog).to_contain_text("Partly downloaded files are deleted")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Keep downloading")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    expect(row).not_to_contain_text("cancelled")
    expect(row_of(other, name)).to_contain_text(status)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row.locator(".status").first).to_have_text("cancelled")
    expect(page.locator(".toasts")).to_contain_text(f"ann/{name} was cancelled.")
    expect(row.get_by_role("button")).to_have_count(0)
    expect(row).not_to_contain_text("%")
    expect(row).to_be_focused()
    if status != "downloading":
        # No process has ended, so there is no event: the other tab must reload.
        other.reload()
    expect(row_of(other, name).locator(".status").first).to_have_text("cancelled")
    incoming = server.root / "models" / ".incoming"
    until(lambda: not incoming.exists() or not list(incoming.iterdir()), LONG)


def test_result_of_a_cancellation_race_is_reported(
    open_page: Open, server: TrainingServer, hub: LocalHub, gate: threading.Event, complaints: Complaints
) -> None:
    complaints.allowed = ("status of 409", "net::ERR_FAILED")
    begin(server, hub, "race", "paused")
    late = begin(server, hub, "late", "downloading")
    page = open_page("#/models/downloads")
    toasts = page.locator(".toasts")
    page.route("**/cancel", lambda route: route.abort())
    cancel(page, "race")
    expect(toasts).to_contain_text("Whether ann/race was cancelled will appear here")
    expect(row_of(page, "race").locator(".status").first).to_have_text("paused")
    page.unroute("**/cancel")

    def complete(route: Route) -> None:
        gate.set()
        until(lambda: server.get(f"/models/download/{late}")["status"] == "completed", LONG)
        route.continue_()

    page.route("**/cancel", complete)
    cancel(page, "late")
    expect(toasts).to_contain_text("ann/late completed before it could be cancelled.")
    expect(row_of(page, "late").locator(".status").first).to_have_text("completed")
    page.unroute("**/cancel")
    # Both tabs cancel, and both report success.
    other = open_page("#/models/downloads")
    for each in (page, other):
        row_of(each, "race").get_by_role("button", name="Cancel ann/race").click()
    for each in (page, other):
        each.get_by_role("button", name="Cancel download").click()
        expect(each.locator(".toasts")).to_contain_text("ann/race was cancelled.")


def test_push_is_cancelled_after_confirmation(open_page: Open, server: TrainingServer, hub: LocalHub) -> None:
    order = {"repository": "ann/nobody", "create": False, "token": TOKEN}
    push = server.post("/models/registry/cats/versions/1/push", 202, json=order)["push_id"]
    until(lambda: server.get(f"/models/push/{push}")["status"] == "failed", LONG)
    page = open_page("#/registry/cats", viewport={"width": 390, "height": 844}, locale="zh-CN")
    row = page.locator(".downloads .download-row", has_text="ann/nobody")
    row.get_by_role("button", name="取消").click()
    expect(page.get_by_role("dialog", name="取消这个推送？")).to_contain_text("会留在模型站上")
    page.get_by_role("button", name="取消推送").click()
    expect(row.locator(".status").first).to_have_text("已取消")


def test_parts_and_presets_are_translated(open_page: Open) -> None:
    page = open_page("#/models?type=z_image", locale="zh-CN")
    expect(page.locator(".component").first).to_contain_text("Z-Image 的 transformer")
    page.goto(page.url.split("#")[0] + "#/new?model=flux")
    expect(page.locator(".preset-card", has_text="float8").first).to_contain_text("float8，1024 px，rank 8")
