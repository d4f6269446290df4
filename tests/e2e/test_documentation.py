"""Every shell command of the guides runs unchanged beside a server, page by page."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import DOCUMENTS, ROOT, runnable
from tests.e2e.server import until
from tests.e2e.training_server import TrainingServer

#: Shell code before the guide's own lines: streams end sooner, and a sleep lasts until the transfer is accepted; a
#: long sleep lasts until nothing trains and no file is in use.
PRELUDE = r"""
set -uo pipefail
curl() {
  local arguments=() shorten=
  for each in "$@"; do
    if [ -n "$shorten" ]; then each=0.7; shorten=; fi
    case "$each" in --max-time) shorten=1 ;; */stream*) arguments+=(--max-time 0.7) ;; esac
    arguments+=("$each")
  done
  command curl "${arguments[@]}"
}
has_none() { command curl -s "$OWN_BASE/$1" | grep -q '"total":0'; }
is_idle() {
  has_none training/list?status=queued,starting,running,stopping &&
    has_none "training/list?kind=cache&status=queued,starting,running,stopping" &&
    has_none preprocess/list?status=queued && has_none preprocess/list?status=processing &&
    ! command curl -s "$OWN_BASE/gpu/status" | grep -q '"status":"draining"'
}
sleep() {
  command sleep $(($1 < 10 ? $1 : 1))
  for i in $(seq 300); do
    has_none uploads?status=received && { [ "$1" -lt 10 ] || is_idle; } && break
    command sleep 0.2
  done
}
"""

#: Lines that do not belong in a shell beside a running server.
ELSEWHERE = re.compile(
    r"^(?:\w+=(?:\"[^\"]*\"|\S+) )*"
    r"(make|ssh|npx|openapi-python-client|\.venv/bin/websockets)\b.*$",
    re.MULTILINE,
)

#: The refusals that the guides show, by route.
REFUSED = {
    ("GET", "/api/v1/gpu/available"): 422,
    # Files and hub of the examples do not exist; a cancelled transfer may still be running.
    ("POST", "/api/v1/models/download/<task_id>/resume"): 409,
    ("DELETE", "/api/v1/models/registry/<name>"): 409,
}

#: Names that the guides use only as examples: they do not exist, or are empty.
EXAMPLES = re.compile(r"/(footage|gpu2)(/|$)|_20261126_")

TEAM = "docs/guides/let-a-team-use-it.md"

#: The pages whose commands run beside a server; those of `TEAM` need keys.
PAGES = [name for name, text in DOCUMENTS.items() if name != TEAM and any("curl " in each for each in runnable(text))]


def run(text: str, server: TrainingServer, directory: Path, **variables: str) -> list[dict[str, Any]]:
    """Return the requests of a page's commands, from the server's log."""
    address = str(server.client.base_url).rstrip("/")
    lines = ELSEWHERE.sub("", "\n".join(runnable(text)))
    script = PRELUDE + lines.replace("http://127.0.0.1:8080", address).replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "OWN_BASE": f"{address}/api/v1", "HOME": str(directory), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "command not found" not in done.stderr, done.stderr
    server.client.get("/health", headers={"X-Request-ID": "the-last"})
    until(lambda: any(line.get("request_id") == "the-last" for line in server.log()), what="the last line of its log")
    return [line for line in server.log() if line["message"] == "request"]


def has_documented_status(request: dict[str, Any]) -> bool:
    if request["status"] == 404 and EXAMPLES.search(request["path"]):
        return True
    return request["status"] < 400 or request["status"] in (499, REFUSED.get((request["method"], request.get("route"))))


@pytest.fixture
def server(tmp_path: Path):
    with TrainingServer(tmp_path / "server", IDLE_COMMAND="/bin/true", PRIVATE_HOSTS_ALLOWED="127.0.0.1") as started:
        yield started


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(server: TrainingServer, tmp_path: Path, page: str):
    requests = run(DOCUMENTS[page], server, tmp_path)
    wrong = [request for request in requests if not has_documented_status(request)]
    assert [(each["method"], each["path"], each["status"]) for each in wrong] == []
    assert leftovers(server) == []


def test_every_command_for_a_team_runs_with_keys(tmp_path: Path):
    with TrainingServer(tmp_path / "server", AUTH="required") as server:
        # The key command finds in the environment what the service was started with.
        settings = {**server.settings, "PYTHONPATH": str(ROOT), "ADMIN_KEY": server.first_key()}
        requests = run(DOCUMENTS[TEAM], server, tmp_path, **settings)
        assert [request for request in requests if not has_documented_status(request)] == []
        assert {request["method"] for request in requests} == {"GET", "POST", "PATCH", "DELETE"}
        server.show(server.first_key())
        keys = {key["user_id"]: key["state"] for key in server.get("/auth/keys")["keys"]}
        assert keys.keys() == {"admin", "anna"}
        assert [path for path in tmp_path.glob("a*.*") if path.stat().st_mode & 0o077] == []


def leftovers(server: TrainingServer) -> list[Any]:
    """Return everything that still acts, sends or grants access after a user has pasted a page's commands."""
    return [
        *(rule["rule_id"] for rule in server.get("/alerts/rules?limit=500")["rules"] if rule["is_changed"]),
        *(rule["rule_id"] for rule in server.get("/alerts/rules?limit=500")["rules"] if not rule["is_builtin"]),
        *(channel["name"] for channel in server.get("/alerts/channels")["channels"]),
        *server.get("/alerts/silences")["silences"],
        *server.get("/system/holds")["holds"],
        *server.get("/auth/keys?state=active")["keys"],
    ]
