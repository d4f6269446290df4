"""A tus client for tests, through the whole ASGI shell; the tests decide when uploads are processed."""

import base64
import io
import zipfile
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from tests.api.conftest import World

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
PART = "application/offset+octet-stream"


def encode(**values: str) -> str:
    """Return Upload-Metadata with these values."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def picture(width: int = 8, height: int = 6, color: int = 0) -> bytes:
    """Return a PNG."""
    buffer = io.BytesIO()
    Image.new("L", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def archive(**files: bytes) -> bytes:
    """Return a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Uploads:
    """A tus client."""

    world: World

    def begin(self, size: int, headers: dict[str, str] | None = None, **metadata: str) -> httpx.Response:
        values = {"dataset": "cats", "filename": "a/x.png", **metadata}
        fields = {"Upload-Length": str(size), "Upload-Metadata": encode(**values)}
        return self.world.client.ask("POST", UPLOADS, headers={**TUS, **fields, **(headers or {})})

    def start_upload(self, size: int, **metadata: str) -> str:
        answer = self.begin(size, **metadata)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    def send(self, url: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
        fields = {"Content-Type": PART, "Upload-Offset": str(offset), **headers}
        return self.world.client.ask("PATCH", url, content=content, headers={**TUS, **fields})

    def offset(self, url: str) -> int:
        answer = self.world.client.ask("HEAD", url, headers=TUS)
        assert answer.status_code == 200
        return int(answer.headers["upload-offset"])

    def upload(self, content: bytes, **metadata: str) -> str:
        """Upload everything in one request and return its URL."""
        url = self.start_upload(len(content), **metadata)
        answer = self.send(url, 0, content)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(content)))
        return url

    def take(self) -> None:
        """Run one round of upload processing."""
        self.world.runtime.library.uploads.intake.process_items()
        self.world.runtime.library.uploads.intake.process_archives()
        self.world.runtime.library.uploads.intake.process_models()

    def get(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = self.world.client.data(url)
        return found

    def taken(self, content: bytes, **metadata: str) -> dict[str, Any]:
        """Upload content, process it and return the result."""
        url = self.upload(content, **metadata)
        self.take()
        return self.get(url)

    def items(self, dataset: str = "cats") -> dict[str, str | None]:
        """Return the captions of a dataset's items by name."""
        found = self.world.client.data(f"/api/v1/datasets/{dataset}/items?limit=500")["items"]
        return {each["name"]: each["caption"] for each in found}
