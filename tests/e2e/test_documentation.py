"""Every line of the two guides runs unchanged, and every route has one."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ROOT, until
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
    has_none preprocess/list?status=queued && has_none preprocess/list?status=processing
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
    r"(make|ssh|npx|openapi-python-client|\.venv/bin/websockets|\.venv/bin/python (?:-m aiosmtpd|hook\.py))\b.*$",
    re.MULTILINE,
)

#: The refusals that the guides show, by route.
REFUSED = {
    ("GET", "/api/v1/gpu/available"): 422,
    ("POST", "/api/v1/system/strays/<attempt_uid>/stop"): 404,
    # No directory may be registered there, and it contains no weights.
    ("POST", "/api/v1/datasets"): 422,
    ("POST", "/api/v1/models/validate"): 404,
    # A cancelled push may still be running.
    ("POST", "/api/v1/models/push/<task_id>/resume"): 409,
    ("DELETE", "/api/v1/models/registry/<name>"): 409,
    # A single machine has no other nodes.
    ("GET", "/api/v1/gpu/status"): 404,
    ("GET", "/api/v1/gpu/stream"): 404,
    # There is no sign-in provider, and no captioning endpoint.
    ("GET", "/api/v1/auth/oidc/login"): 404,
    ("GET", "/api/v1/auth/oidc/callback"): 404,
    ("POST", "/api/v1/datasets/<name>/captions/generate"): 503,
}

#: Names that the guides use only as examples: they do not exist, or are empty.
EXAMPLES = re.compile(r"/(footage|gpu2)(/|$)|_20261126_")


#: The chapter for a server that requires keys, and the two chapters that start their own servers.
TEAM = re.compile(r"^## For a team$.*?(?=^## )", re.MULTILINE | re.DOTALL)
NETWORK = re.compile(r"^## For a team, on a network$.*?(?=^## )", re.MULTILINE | re.DOTALL)
MACHINES = re.compile(r"^## Several machines$.*?(?=^## )", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def read(guide: str) -> str:
    return (ROOT / guide).read_text()


def run(text: str, server: TrainingServer, directory: Path, **variables: str) -> list[dict[str, Any]]:
    """Return the requests of a guide's lines, from the server's log."""
    address = str(server.client.base_url).rstrip("/")
    lines = ELSEWHERE.sub("", "\n".join(blocks(text)))
    script = PRELUDE + lines.replace("http://127.0.0.1:8080", address).replace(".venv/bin/python", sys.executable)
    (directory / "flux.toml").write_text('[model]\ntype = "flux"\n')
    (directory / "dataset.toml").write_text("resolutions = [512]\n")
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


def test_every_line_of_the_quickstart_runs(server: TrainingServer, tmp_path: Path):
    text = read("QUICKSTART.md")
    for chapter in (TEAM, NETWORK, MACHINES):
        text = chapter.sub("", text)
    requests = run(text, server, tmp_path)
    assert [request for request in requests if not has_documented_status(request)] == []


def test_every_line_of_the_chapter_for_a_team_runs_with_keys(tmp_path: Path):
    [chapter] = TEAM.findall(read("QUICKSTART.md"))
    with TrainingServer(tmp_path / "server", AUTH="required") as server:
        # The key command finds in the environment what the service was started with.
        settings = {**server.settings, "PYTHONPATH": str(ROOT), "ADMIN_KEY": server.first_key()}
        requests = run(chapter, server, tmp_path, **settings)
        assert [request for request in requests if not has_documented_status(request)] == []
        assert {request["method"] for request in requests} == {"GET", "POST", "DELETE"}
        server.show(server.first_key())
        keys = {key["user_id"]: key["state"] for key in server.get("/auth/keys")["keys"]}
        assert keys.keys() == {"admin", "anna"}
        assert [path for path in tmp_path.glob("a*.*") if path.stat().st_mode & 0o077] == []


def test_every_line_of_the_api_guide_runs_and_every_route_has_one(server: TrainingServer, tmp_path: Path):
    requests = run(read("TRAINING_API.md"), server, tmp_path)
    wrong = [request for request in requests if not has_documented_status(request)]
    assert [(each["method"], each.get("route"), each["status"]) for each in wrong] == []
    assert leftovers(server) == []
    document = server.client.get("/openapi.json").json()
    routes = {(method.upper(), path) for path, ways in document["paths"].items() for method in ways}
    shown = {(request["method"], _braced(request.get("route") or request["path"])) for request in requests}
    # The second address of a route is named beside the first, and only nodes send reports.
    elsewhere = {("POST", "/api/v1/training/stop/{task_id}"), ("GET", "/api/v1/metrics")}
    assert routes - shown <= elsewhere | {("POST", "/api/v1/nodes/{name}/report")}


def leftovers(server: TrainingServer) -> list[Any]:
    """Return everything that still acts, sends or grants access after a user has pasted a guide's lines."""
    return [
        *(rule["rule_id"] for rule in server.get("/alerts/rules?limit=500")["rules"] if rule["is_changed"]),
        *(rule["rule_id"] for rule in server.get("/alerts/rules?limit=500")["rules"] if not rule["is_builtin"]),
        *(channel["name"] for channel in server.get("/alerts/channels")["channels"]),
        *server.get("/alerts/silences")["silences"],
        *server.get("/system/holds")["holds"],
        *server.get("/auth/keys?state=active")["keys"],
    ]


def _braced(route: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
