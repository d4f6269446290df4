import threading
from pathlib import Path

from api.composition.composition import Runtime
from api.config import Config

LOOPS = {
    "dataset-watch",
    "dataset-reader",
    "dataset-collector",
    "upload-items",
    "upload-archives-1",
    "upload-archives-2",
    "registry-collector",
}


def _loops() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & LOOPS


def test_loops_of_datasets_uploads_and_models_start_and_stop_with_the_library(tmp_path: Path):
    runtime = Runtime(Config(gpu_source="simulated", log_level="ERROR", storage_root=tmp_path))
    runtime.prepare()
    try:
        runtime.library.start()
        assert _loops() == LOOPS
    finally:
        runtime.stop()
    assert _loops() == set()
