"""The trial of a team behind nginx: its own lines, with the test's own PostgreSQL, Redis and ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.documents import DOCUMENTS, blocks
from tests.e2e.server import ROOT
from tests.nginx_servers import require_nginx
from tests.postgres_servers import OwnPostgres
from tests.redis_servers import OwnRedis

#: Before the chapter's lines: the database administrator's part is already done, and no process stays behind.
PRELUDE = """
set -u
sudo() { :; }
clear_away() {
  kill $(cat data/team/*.pid) 2> /dev/null
  nginx -p data/team -c nginx.conf -e error.log -s stop 2> /dev/null
}
trap clear_away EXIT
"""


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def answers(output: str) -> list[Mapping[str, object]]:
    """Return the documents that curl printed, one after the other without a separator."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := output.find('{"code":', at)) >= 0:
        document, at = decoder.raw_decode(output, at)
        found.append(document)
    return found


def test_every_line_of_the_trial_runs(tmp_path: Path) -> None:
    require_nginx()
    trial = DOCUMENTS["docs/guides/serve-a-team-with-tls.md"].partition("\n## Try it on one machine\n")[2]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for name in ("api", "run.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    first, second, plain, secure = map(str, free_ports(4))
    servers = tmp_path / "deploy" / "nginx" / "diffusion-pipe-api-servers.conf"
    servers.write_text(replaced(servers.read_text(), {"8080": first, "8081": second}))
    with OwnPostgres() as postgres, OwnRedis(tmp_path) as redis:
        redis.start()
        ports = {"8080": first, "8081": second, "8088": plain, "8443": secure}
        known = {
            ".venv/bin/python": sys.executable,
            "postgresql://team:of-the-team@127.0.0.1/team": f"'{postgres.url}'",
            "redis://127.0.0.1:6379/0": f"'{redis.url}'",
        }
        done = subprocess.run(
            ["bash", "-c", PRELUDE + replaced("\n".join(blocks(trial)), ports | known)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    shown = [answer["code"] for answer in answers(done.stdout)]
    assert shown == [200, 200, 200, 401, 200], done.stdout + done.stderr
