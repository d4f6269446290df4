"""`python docs/screenshots.py`: takes the README's pictures of the dashboard, of a server and trainings of its own.

It needs Chromium and what requirements-dev.txt names; the pictures are those of the system's fonts (Inter is best).
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import ABSENT, find_browser, launch  # noqa: E402
from tests.e2e.training_server import TrainingServer  # noqa: E402

SIZE = {"width": 1440, "height": 900}
MAX_BYTES = 250_000
#: So long the trainings run before they are photographed.
SECONDS = 75.0


def toy(name: str, gpus: int | list[int], epochs: int, step_seconds: float, **more: Any) -> dict[str, Any]:
    """A training with a curve worth looking at."""
    table = {"steps_per_epoch": 40, "step_seconds": step_seconds, **more.pop("toy", {})}
    wish = {"gpu_count": gpus} if isinstance(gpus, int) else {"gpu_ids": gpus}
    config = {"epochs": epochs, "eval_every_n_epochs": 1, "toy": table}
    return {"model_type": "toy", "name": name, "config": config, **wish, **more}


def main() -> int:
    """Takes all of them."""
    path = find_browser()
    if path is None:
        print(ABSENT, file=sys.stderr)
        return 1
    settings = {"SIMULATED_GPUS": "8x NVIDIA H100 80GB HBM3", "GPU_MONITOR_INTERVAL": "1"}
    with tempfile.TemporaryDirectory() as folder, TrainingServer(Path(folder), **settings) as server:
        shown = _start(server)
        with sync_playwright() as play:
            browser = launch(play, path)
            page = browser.new_page(viewport=SIZE, color_scheme="dark", locale="en-GB")
            for name, address in shown.items():
                _take(page, f"http://127.0.0.1:{server.port}/{address}", name)
                if name == "start":
                    server.start_task(toy("flux-full-finetune", 6, 40, 0.1, priority=10))
            browser.close()
    return 0


def _start(server: TrainingServer) -> Mapping[str, str]:
    """What runs and has ended while the pictures are taken, and where to look."""
    failing = {"fail_at_step": 30, "fail_with": "cuda_oom"}
    server.start_task(toy("watercolour-style", 1, 3, 0.02))
    server.start_task(toy("product-shots-768", 2, 20, 0.05, toy=failing))
    main_id = server.start_task(toy("portrait-lora-r32", [0, 1], 24, 0.1))
    server.start_task(toy("anime-lora", [2], 60, 0.2))
    server.start_task(toy("wan-motion-test", [3, 4, 5], 200, 0.3))
    time.sleep(SECONDS)
    return {"start": "#/start", "machine": "#/", "tasks": "#/tasks", "task": f"#/tasks/{main_id}"}


def _take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    if name == "start":
        page.get_by_role("button", name="Validate").click()
    page.wait_for_timeout(4000)
    picture = ROOT / "docs" / f"dashboard-{name}.png"
    page.screenshot(path=picture)
    Image.open(picture).convert("RGB").save(picture, optimize=True)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")
    assert picture.stat().st_size <= MAX_BYTES, picture


if __name__ == "__main__":
    sys.exit(main())
