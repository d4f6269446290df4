"""The nginx configuration in `deploy` matches the paths and headers of the service."""

import re
from pathlib import Path

import pytest

from api.util.http.base_path import BASE_PATH

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "nginx" / "diffusion-pipe-api.conf").read_text()

#: The streaming routes. tests/e2e/test_nginx.py requests them through nginx.
LIVE = Path(__file__).parents[2] / "api" / "composition" / "live.py"


def _stream_location() -> re.Pattern[str]:
    (expression,) = re.findall(r"location ~ (\S+) \{", TEXT)
    return re.compile(expression)


def _live_paths() -> list[str]:
    found = re.findall(r'\("(/[^"]+)", (?:events|socket), ', LIVE.read_text())
    assert len(found) > 5
    return [BASE_PATH + path.replace("<task_id>", "train_20261124_07000001") for path in found]


@pytest.mark.parametrize("path", _live_paths())
def test_every_stream_is_unbuffered(path: str):
    assert _stream_location().search(path)


@pytest.mark.parametrize(
    "path", ["/", "/gpu", "/docs", f"{BASE_PATH}/gpu/status", f"{BASE_PATH}/training/x/logs/download", "/js/stream.js"]
)
def test_other_paths_are_buffered(path: str):
    assert not _stream_location().search(path)


def test_forwarding_headers_of_clients_are_replaced():
    assert "$proxy_add_x_forwarded_for" not in TEXT
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in TEXT


def test_container_uses_the_same_upstream_name():
    names = [re.findall(r"upstream (\S+) \{", path.read_text()) for path in DEPLOY.rglob("*-servers.conf")]
    assert len(names) == 2
    assert names[0] == names[1]
    assert set(re.findall(r"proxy_pass http://(\S+);", TEXT)) == set(names[0])
