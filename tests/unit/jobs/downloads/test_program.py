import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.jobs.downloads.allowance import ALLOWANCE, allowance_content
from api.jobs.downloads.program import DownloadProgram
from api.jobs.downloads.request import ADDRESS_TOKEN, STATE, DownloadRequest, UrlRequest
from api.jobs.kinds import REQUEST_FILE
from tests.local_hub import LocalHub, running_hub
from tests.unit.files.weights.stand_ins import header_bytes

CONTENT = b"".join((header_bytes({"w": [8]}, "U8")[0], bytes(8)))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with running_hub() as found:
        found.add("o/m", "models/12345", CONTENT)
        yield found


def naming(name: str, started: list[str]) -> Any:
    """A fault that answers with this file name."""

    def fault(handler: Any, content: bytes) -> bool:
        started.append(handler.path)
        handler.answer(200, content, **{"Content-Disposition": f'attachment; filename="{name}"'})
        return True

    return fault


def run(
    hub: LocalHub, root: Path, name: str = "12345", *, is_named: bool = False, allowed: tuple[str, ...] = ("127.0.0.1",)
) -> tuple[int, dict[str, Any]]:
    url = f"{hub.address}/o/m/resolve/main/models/12345"
    address = UrlRequest(url, hashlib.sha256(CONTENT).hexdigest(), name, is_named)
    request = DownloadRequest(str(root / "models"), hub.address, (), (address,), allowed, False, 0)
    work = root / "work"
    work.mkdir(exist_ok=True)
    (work / REQUEST_FILE).write_text(json.dumps(request.as_json()))
    code = DownloadProgram(work, "run_1").run()
    return code, json.loads((work / STATE).read_text())["files"][0]


@pytest.mark.parametrize(
    ("result", "asked", "is_named", "name"),
    [
        ("style_v2.safetensors", "12345", False, "style_v2.safetensors"),
        ("style_v2.safetensors", "mine.safetensors", True, "mine.safetensors"),
        (".hidden", "12345", False, "12345"),
        ("..", "12345", False, "12345"),
        ("a" * 300, "12345", False, "12345"),
    ],
)
def test_file_of_a_url_has_the_servers_name_unless_the_request_has_one(
    hub: LocalHub, tmp_path: Path, result: str, asked: str, is_named: bool, name: str
):
    hub.fault = naming(result, [])
    code, file = run(hub, tmp_path, asked, is_named=is_named)
    assert (code, file["name"]) == (0, name)
    assert (tmp_path / "models" / "downloads" / name).read_bytes() == CONTENT


def test_existing_name_is_rejected_before_the_fetch(hub: LocalHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    started: list[str] = []
    hub.fault = naming("style.safetensors", started)
    place = tmp_path / "models" / "downloads" / "style.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"another")
    code, _ = run(hub, tmp_path)
    assert (code, len(started)) == (1, 1)  # the request for name and length
    assert "Another file downloads/style.safetensors" in capsys.readouterr().out
    assert place.read_bytes() == b"another"


def test_token_of_a_url_is_sent_to_its_host_only(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(ADDRESS_TOKEN, "planted-token")
    monkeypatch.setenv("HF_TOKEN", "token-of-the-service")
    with running_hub() as mirror:
        mirror.add("o/m", "models/12345", CONTENT)
        path = "/o/m/resolve/main/models/12345"
        hub.redirect = mirror.address.replace("127.0.0.1", "localhost") + path
        code, _ = run(hub, tmp_path, allowed=("127.0.0.1", "localhost"))
    assert code == 0
    assert {sent for *_, sent in hub.requests} == {"Bearer planted-token"}
    assert {sent for *_, sent in mirror.requests} == {None}
    assert "planted" not in capsys.readouterr().out
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert not [path for path in written if b"planted" in path.read_bytes()]


def test_service_token_is_not_sent_to_a_url(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "token-of-the-service")
    assert run(hub, tmp_path)[0] == 0
    assert {sent for *_, sent in hub.requests} == {None}


def test_download_over_the_quota_fetches_nothing(hub: LocalHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ALLOWANCE).write_bytes(allowance_content(len(CONTENT) - 1))
    assert run(hub, tmp_path)[0] == 1
    assert "storage quota" in capsys.readouterr().out
    assert not (tmp_path / "models" / "downloads").exists()
    (tmp_path / "work" / ALLOWANCE).write_bytes(allowance_content(len(CONTENT)))
    assert run(hub, tmp_path)[0] == 0
