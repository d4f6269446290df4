"""A child process with the real binding: it reads every GPU again for each request and answers with documents."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import orjson

from api.composition.composition import Runtime
from api.config import Config
from tests.e2e.server import ROOT, environment

FIRST_SWEEP_SECONDS = 10.0


class Probe:
    """The parent's side of the connection."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Probe":
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.nvml.probe"],
            cwd=ROOT,
            env=environment(self._settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child is not None
        self._child.communicate(timeout=10)

    def get(self, *paths: str) -> list[Any]:
        """Return the data of these documents after a new sweep."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(orjson.dumps(paths) + b"\n")
        child.stdin.flush()
        answers = orjson.loads(child.stdout.readline())
        return [orjson.loads(answer)["data"] if path != "/metrics" else answer for path, answer in answers]

    def details(self, gpu: int = 0) -> dict[str, Any]:
        [details] = self.get(f"/api/v1/gpu/{gpu}/details")
        return dict(details)

    def gpu(self, index: int = 0) -> dict[str, Any]:
        [status] = self.get("/api/v1/gpu/status")
        return dict(next(gpu for gpu in status["gpus"] if gpu["gpu_id"] == index))

    def metrics(self) -> str:
        [text] = self.get("/metrics")
        return str(text)


def answer(paths: list[str], storage: Path) -> list[tuple[str, str]]:
    """Return documents of a service after its first sweep."""
    runtime = Runtime(Config(gpu_source="nvml", gpu_monitor_interval=60.0, storage_root=storage))
    # The holders of GPUs are read from its database; without one no GPU would be offered.
    runtime.prepare()
    gpus = runtime.services.gpus.service
    gpus.start_monitoring()
    try:
        assert gpus.wait_for_first_sweep(FIRST_SWEEP_SECONDS)
        documents = [(path, gpus.documents.get(path)) for path in paths]
        return [(path, document.body.decode()) for path, document in documents if document is not None]
    finally:
        gpus.stop_monitoring()
        runtime.database.close()


def main() -> None:
    with TemporaryDirectory() as storage:
        for line in sys.stdin.buffer:
            sys.stdout.buffer.write(orjson.dumps(answer(orjson.loads(line), Path(storage))) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
