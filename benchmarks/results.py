"""Results: comparing 8 trainings of 20,000 steps, and a grid of 50 saved models and 12 prompts in a browser."""

import hashlib
import io
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

from api.db.database import Database
from api.files.thumbnail_files import ThumbnailStore
from api.jobs.sampling.request import THUMBNAILS, SampleRecord
from api.training.attempts.watch.series import RECORD, Point, append_points, path_of
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from benchmarks.databases import fresh
from benchmarks.effort import Effort
from benchmarks.rows import SECONDS, Row, Unit, at_least, below, without_limit
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Client, Running, service, simulated
from tests.browser import find_browser, launch

COMPARED = 8
STEPS = 20_000
COMPARE_LIMIT_SECONDS = 1.0

MODELS = 50
PROMPTS = 12
PICTURES_LIMIT_SECONDS = 0.3
FRAMES_LIMIT = 50.0

TRAINING = "/api/v1/training"
TRAINING_SECONDS = 120.0
FRAMES = Unit("{:.0f} fps")
SAMPLING = "sample_20260101_00000000"
SIDE = 256

_TAGS = ("train/loss", "train/grad_norm", "train/lr")
_VIEW = {"width": 1440, "height": 900}

#: Resolves with the moment when all pictures that are in view have been decoded and painted, and with their number.
_PAINTED = """async ([selector, began]) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const inView = (image) => {
        const { top, bottom, left, right } = image.getBoundingClientRect();
        return bottom > 0 && top < innerHeight && right > 0 && left < innerWidth;
    };
    for (;;) {
        const images = [...document.querySelectorAll(selector)].filter(inView);
        if (images.length && images.every((image) => image.complete && image.naturalWidth)) {
            await Promise.all(images.map((image) => image.decode()));
            await frame();
            return [performance.now() - (began ?? window.clickedAt ?? 0), images.length];
        }
        await frame();
    }
}"""

#: Scrolls from the top to the bottom, and returns the intervals between frames in milliseconds.
_SCROLL = """async ([selector, seconds]) => {
    const element = selector ? document.querySelector(selector) : document.scrollingElement;
    const most = element.scrollHeight - element.clientHeight;
    const times = [];
    await new Promise((done) => {
        const began = performance.now();
        const step = (now) => {
            times.push(now);
            const part = (now - began) / (1000 * seconds);
            element.scrollTop = part * most;
            part < 1 ? requestAnimationFrame(step) : done();
        };
        requestAnimationFrame(step);
    });
    return times.slice(1).map((time, i) => time - times[i]);
}"""


def measure(effort: Effort) -> Iterator[Row]:
    """Measure the comparison beside a bare reading of its series, and the grid beside a page of the same pictures."""
    path = find_browser()
    assert path is not None, "benchmarks/needs.py has looked for it"
    with tempfile.TemporaryDirectory() as folder, fresh("SQLite", Path(folder)) as url:
        settings = simulated(EIGHT_GPUS, DATABASE_URL=url, STORAGE_ROOT=folder)
        with service(**settings) as server, sync_playwright() as play:
            compared = _train(server, COMPARED, epochs=1)
            for number, task_id in enumerate(compared):
                _write_series(Path(folder), task_id, number)
            [gridded] = _train(server, 1, epochs=MODELS)
            addresses = _put_samples(url, Path(folder), gridded)
            browser = launch(play, path)
            try:
                yield from _compare(effort, server, browser, Path(folder), compared)
                yield from _grid(effort, server, browser, gridded, addresses)
            except Error as error:
                raise CannotRunError(error.message.splitlines()[0]) from error
            finally:
                browser.close()


def _train(server: Running, count: int, epochs: int) -> list[str]:
    """Run toys of a few steps; return their ids. Raise CannotRunError."""
    table = {"steps_per_epoch": 2, "step_seconds": 0.01, "load_seconds": 0, "cache_seconds": 0}
    config = {"epochs": epochs, "micro_batch_size_per_gpu": 1, "toy": table}
    with httpx.Client(base_url=server.url(TRAINING), trust_env=False) as client:
        body = {"model_type": "toy", "name": "compared", "config": config}
        made = [client.post("/start", json=body).raise_for_status().json()["data"]["task_id"] for _ in range(count)]
        end = time.monotonic() + TRAINING_SECONDS
        while any(client.get(f"/{each}").json()["data"]["status"] != "completed" for each in made):
            if time.monotonic() > end:
                raise CannotRunError(f"trainings of {2 * epochs} steps have not ended after {TRAINING_SECONDS:.0f} s")
            time.sleep(0.2)
    return made


def _series_of(root: Path, task_id: str) -> Path:
    return root / "tasks" / task_id / "attempts" / "1" / "series"


def _write_series(root: Path, task_id: str, number: int) -> None:
    """Write series of many steps, as the watch of an attempt does."""
    begun = time.time() - STEPS
    points = [
        Point(tag, step, math.exp(-step / 5000) + 0.1 * math.sin(step * (number + 2)), begun + step)
        for tag in _TAGS
        for step in range(10, STEPS + 1)
    ]
    append_points(_series_of(root, task_id), points)


def _put_samples(url: str, root: Path, task_id: str) -> list[str]:
    """Store a sample of each model and prompt with its thumbnail, as the sampling program does; return addresses."""
    store = ThumbnailStore(root / "tasks" / SAMPLING / "output" / THUMBNAILS)
    now, samples = datetime.now(UTC), list[StoredSample]()
    for model in range(MODELS):
        for prompt in range(PROMPTS):
            content = io.BytesIO()
            # As many details, and so bytes, as a photo has.
            noise = Image.effect_noise((SIDE // 4, SIDE // 4), 60 + model).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            )
            Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))).save(content, "JPEG", quality=85)
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            store.put(digest, SIDE, content.getvalue())
            record = SampleRecord(f"epoch{model + 1}", prompt, 1, 1.0, width=1024, height=1024, frames=1)
            record = replace(record, file=f"{digest[:12]}.png", sha256=digest, pixels=digest)
            samples.append(StoredSample(task_id, SAMPLING, record, f"set {prompt}", f"prompt {prompt}", None, now))
    database = Database(url)
    try:
        TrainingSampleStore(database).put(samples)
    finally:
        database.close()
    part = f"{TRAINING}/{task_id}/samples"
    return [f"{part}/{each.sample_id}/thumbnail?file={(each.record.sha256 or '')[:16]}" for each in samples]


def _compare(effort: Effort, server: Running, browser: Browser, root: Path, task_ids: Sequence[str]) -> Iterator[Row]:
    what = f"{COMPARED} trainings of {STEPS:,} steps"
    client, taken = Client(server), list[float]()
    for _ in range(effort.rounds):
        began = time.perf_counter()
        answer = client.ask(
            f"{TRAINING}/compare?tasks={','.join(task_ids)}&metric=loss,grad_norm,lr&limit=600&all_settings=true"
        )
        taken.append(time.perf_counter() - began)
        if answer.status != 200 or min(each["total"] for each in answer.json()["data"]["series"]) < STEPS - 10:
            raise CannotRunError(f"the comparison is not one of {what}: HTTP {answer.status}")
    client.close()
    began = time.perf_counter()
    for task_id in task_ids:
        list(RECORD.iter_unpack(path_of(_series_of(root, task_id), _TAGS[0]).read_bytes()))
    beside = f"{SECONDS.show(time.perf_counter() - began)} bare reading of the losses"
    yield below(
        f"GET /training/compare of {what}: p50", statistics.median(taken), COMPARE_LIMIT_SECONDS, SECONDS, beside
    )
    address = f"/#/trainings/compare?tasks={','.join(task_ids)}"
    opened = [_open(browser, server.url(address), ".compare canvas") for _ in range(effort.rounds)]
    empty = statistics.median(_open(browser, server.url("/#/"), ".gpu-tile") for _ in range(effort.rounds))
    note = f"slowest of {effort.rounds}: {max(opened):.2f} s"
    beside = f"{SECONDS.show(empty)} the first screen"
    middle = statistics.median(opened)
    yield below(f"page, opens {what}: p50", middle, COMPARE_LIMIT_SECONDS, SECONDS, beside, note)


def _open(browser: Browser, url: str, awaited: str) -> float:
    """Return the seconds from navigation with an empty cache until an element is shown."""
    with browser.new_context(viewport=_VIEW) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(awaited)
        return float(page.evaluate("performance.now()")) / 1000


def _grid(effort: Effort, server: Running, browser: Browser, task_id: str, addresses: Sequence[str]) -> Iterator[Row]:
    what, cells = f"grid of {MODELS} × {PROMPTS}", ".sample-scroll img"
    clicked, cold, plain = list[float](), list[float](), list[float]()
    frames, bare = list[float](), list[float]()
    seen = 0
    for _ in range(effort.rounds):
        with browser.new_context(viewport=_VIEW) as context:  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(server.url(f"/#/trainings/{task_id}/samples"))
            seconds, seen = page.evaluate(_PAINTED, [cells, 0])
            cold.append(seconds / 1000)
            frames += page.evaluate(_SCROLL, [".sample-scroll", effort.load_seconds])
        with browser.new_context(viewport=_VIEW) as context:  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(server.url(f"/#/trainings/{task_id}"))
            clicked.append(_click(page, task_id, cells))
        with browser.new_context(viewport=_VIEW) as context:  # type: ignore[arg-type]
            page = context.new_page()
            page.route("**/plain.html", lambda route: _serve_plain(route, addresses))
            page.goto(server.url("/plain.html"))
            plain.append(page.evaluate(_PAINTED, ["img", 0])[0] / 1000)
            bare += page.evaluate(_SCROLL, ["", effort.load_seconds])
    beside = f"{SECONDS.show(statistics.median(plain))} a plain page of the same pictures"
    note = f"{seen} pictures, slowest of {effort.rounds}: {max(clicked):.2f} s"
    yield below(
        f"{what}, first pictures after a click: p50",
        statistics.median(clicked),
        PICTURES_LIMIT_SECONDS,
        SECONDS,
        beside,
        note,
    )
    yield without_limit(f"{what}, first pictures with an empty cache: p50", statistics.median(cold), SECONDS, beside)
    late = 100 * sum(each > 34 for each in frames) / len(frames)
    beside = f"{FRAMES.show(1000 / statistics.fmean(bare))} a plain page of the same pictures"
    yield at_least(
        f"{what}, scrolling", 1000 / statistics.fmean(frames), FRAMES_LIMIT, FRAMES, beside, f"{late:.1f} % over 34 ms"
    )


def _click(page: Page, task_id: str, cells: str) -> float:
    """Open the tab of samples of a shown training; return the seconds until its pictures are painted."""
    link = page.locator(f"a[href='#/trainings/{task_id}/samples']")
    link.wait_for()
    page.wait_for_load_state("networkidle")
    mark = "addEventListener('click', () => { window.clickedAt = performance.now(); }, { once: true, capture: true })"
    page.evaluate(mark)
    link.click()
    return float(page.evaluate(_PAINTED, [cells, None])[0]) / 1000


def _serve_plain(route: Route, addresses: Sequence[str]) -> None:
    images = "".join(f'<img src="{each}" width=176 height=176 loading=lazy>' for each in addresses)
    style = "<style>body { width: 2200px; margin: 0 }</style>"
    route.fulfill(body=f"<!doctype html>{style}{images}", content_type="text/html")
