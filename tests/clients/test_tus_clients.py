"""Unmodified tus clients of other projects work with the service."""

import hashlib
import json
import shutil
from io import BytesIO
from pathlib import Path

from tusclient import client
from tusclient.uploader import Uploader

from tests.api.uploads import picture
from tests.clients.conftest import HERE, NODE_MODULES, run
from tests.e2e.server import until
from tests.e2e.training_server import TrainingServer

UPLOADS = "/api/v1/uploads"


def finished(server: TrainingServer, url: str) -> dict[str, object]:
    """Wait until the upload has been processed, and return it."""
    path = url[url.index("/uploads") :]
    return until(lambda: (found := server.get(path))["status"] in ("completed", "failed") and found, what="its end")


def test_tuspy_uploads_with_checksums_and_resumes(server: TrainingServer):
    content = picture(400, 300, 7) + bytes(200_000)
    tus = client.TusClient(f"{server.client.base_url}{UPLOADS}", headers=dict(server.client.headers))
    said = {"dataset": "by-python", "filename": "x.png"}
    first = tus.uploader(file_stream=BytesIO(content), chunk_size=60_000, metadata=said, upload_checksum=True)
    first.upload_chunk()
    second: Uploader = tus.uploader(
        file_stream=BytesIO(content), url=first.url, chunk_size=60_000, upload_checksum=True
    )
    assert second.offset == 60_000
    second.upload()
    assert second.offset == len(content)
    assert finished(server, first.url)["status"] == "completed"
    [item] = server.get("/datasets/by-python/items")["items"]
    assert item["sha256"] == hashlib.sha256(content).hexdigest()


def test_tus_js_client_pauses_resumes_and_terminates(server: TrainingServer, tools: Path, tmp_path: Path):
    shutil.copy(HERE / "tus.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    endpoint = f"{server.client.base_url}{UPLOADS}".replace("//api", "/api")
    result = json.loads(run("node", tmp_path / "tus.mjs", endpoint, server.first_key(), "120000", cwd=tmp_path))
    assert result["isSame"]
    found = finished(server, result["url"])
    # All bytes have arrived, but a single text file makes no dataset.
    assert (found["offset"], found["status"], found["problem"]["code"]) == (120_000, "failed", "upload_refused")
    assert server.client.get(result["terminated"][result["terminated"].index("/api") :]).status_code == 404
