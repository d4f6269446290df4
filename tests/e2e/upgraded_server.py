"""A server of the version before the reorganisation, whose code is replaced where it is, as `git pull` does."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, ROOT, command, environment
from tests.e2e.training_server import TrainingServer

#: The last version before the reorganisation.
OLD = "c9f9bc81"

#: Stands in for a package that the old version needs and this one does not.
_IMAGEHASH = "def phash(image, **_):\n    return '0' * 16\n"


def _unpack_old_version(directory: Path) -> None:
    """Unpack the old code from the git history, or skip the test."""
    archive = subprocess.run(["git", "archive", OLD, "api", "run.py"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the old version {OLD} is not in the git history of this checkout")
    if find_spec("tensorboard") is None:
        pytest.skip("the old version needs tensorboard: make install-dev")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(directory, filter="data")
    (directory / "imagehash.py").write_text(_IMAGEHASH)


class UpgradedServer(TrainingServer):
    """A server that requires keys and starts in the old version."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, AUTH="required", RATE_LIMITS="off", **settings)
        self.client.timeout = 60
        self.code = directory / "code"
        _unpack_old_version(self.code)

    def __enter__(self) -> "UpgradedServer":
        self.start()
        self.show(self.first_key())
        return self

    def end(self, is_killed: bool) -> None:
        if is_killed:
            self.kill()
        else:
            self.process.terminate()  # type: ignore[union-attr]
            assert self.wait() == 0

    def replace_code(self) -> None:
        """Replace the code by this version's; the server must have ended."""
        shutil.rmtree(self.code / "api")
        shutil.copytree(ROOT / "api", self.code / "api", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "run.py", self.code)

    def operate(self, *arguments: str) -> str:
        """Run a command of the server's current code with its settings, and return its output."""
        done = subprocess.run(
            command(*arguments, root=self.code),
            cwd=self.directory,
            env=environment(self.settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ask(self, path: str, **more: Any) -> Any:
        return self.client.get(BASE + path, **more).json().get("data")


#: Lists: the name of the rows, the address of a row, and the addresses below it.
_LISTS = (
    (
        "/training/list",
        "tasks",
        "/training/{task_id}",
        ("/progress", "/checkpoints", "/artifacts", "/events", "/metrics", "/logs"),
    ),
    ("/preprocess/list", "tasks", "/preprocess/{task_id}", ("/events", "/logs")),
    ("/preprocess/list", "tasks", "/preprocess/status/{task_id}", ()),
    ("/models/downloads", "downloads", "/models/download/{download_id}", ()),
    ("/models/pushes", "pushes", "/models/push/{push_id}", ()),
    ("/models/registry", "models", "/models/registry/{name}", ("/versions", "/versions/1", "/versions/1/samples")),
    ("/datasets", "datasets", "/datasets/{name}", ("/versions", "/items")),
    ("/uploads", "uploads", "/uploads/{upload_id}", ()),
    ("/auth/keys", "keys", "/auth/keys/{key_id}", ()),
    ("/gpu/tasks", "tasks", "/gpu/tasks/{task_id}", ()),
    ("/alerts/rules", "rules", "/alerts/rules/{rule_id}", ()),
)

#: Lists that have everything about their rows.
_OTHERS = ("/auth/audit?limit=500", "/auth/audit/verify", "/system/holds", "/alerts/silences?ended=true")


def copy_answers(server: UpgradedServer) -> dict[str, Any]:
    """Return the data of all lists and of everything in them, by address."""
    answers = {path: server.ask(path) for path in _OTHERS}
    for path, rows, pattern, below in _LISTS:
        answers[path] = server.ask(path)
        for row in answers[path][rows]:
            address = pattern.format(**row)
            answers |= {address + rest: server.ask(address + rest) for rest in ("", *below)}
    return answers


def compare(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield the differences of two answers, except that objects may have new fields."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from compare(value, after.get(key, "missing"), f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from compare(*pair, f"{where}[{index}]")
    elif before != after:
        yield f"{where}: {before!r} -> {after!r}"
