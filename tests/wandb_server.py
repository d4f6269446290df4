"""A stand-in for W&B's server: GraphQL, the stream of a run's rows, and uploads, as version 0.31 of the library asks.

It stores what it receives by run, and continues runs that it knows.
"""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

ENTITY = "cats"


@dataclass
class WandbRun:
    """What was received of a run."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    exit_codes: list[int] = field(default_factory=list)


class WandbServer:
    """The state of the server, which tests read and change."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.url = ""
        self.status = 200  #: of every answer; 0: it never answers
        self.refused: set[str] = set()  #: queries that are answered with 403
        self.deleted: set[str] = set()  #: runs that were deleted, which only a restoration brings back
        self.runs: dict[str, WandbRun] = {}
        self.stopping = threading.Event()

    def answer_query(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        match _name_of(query):
            case "UpsertBucket":
                return {"upsertBucket": self._upsert(given)}
            case "RunResumeStatus":
                known = self.runs.get(given["name"])
                bucket = None if known is None else _describe(given["name"], given["project"], known)
                return {"model": {"id": "m", "name": given["project"], "entity": _ENTITY, "bucket": bucket}}
            case "CreateRunFiles":
                urls = [
                    {"name": each, "uploadUrl": f"{self.url}/storage/{given['run']}/{each}"} for each in given["files"]
                ]
                return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": urls}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case _:
                viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
                return {"viewer": viewer}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        is_new = given["name"] not in self.runs
        run = self.runs.setdefault(given["name"], WandbRun())
        run.name = given.get("displayName") or run.name
        run.config |= json.loads(given.get("config") or "{}")
        return {"bucket": _describe(given["name"], given["project"], run), "inserted": is_new}

    def take(self, run_id: str, sent: dict[str, Any]) -> None:
        """Store a part of a run's stream. Rows are stored from their offset on."""
        run = self.runs[run_id]
        history = sent.get("files", {}).get("wandb-history.jsonl")
        if history is not None:
            run.rows[history["offset"] :] = map(json.loads, history["content"])
        if sent.get("complete"):
            run.exit_codes.append(sent["exitcode"])


_ENTITY = {"id": "e", "name": ENTITY}


def _name_of(query: str) -> str:
    return query.split("(", maxsplit=1)[0].split("{", maxsplit=1)[0].rsplit(maxsplit=1)[-1]


def _describe(run_id: str, project: str, run: WandbRun) -> dict[str, Any]:
    return {
        "id": base64.b64encode(run_id.encode()).decode(),
        "name": run_id,
        "displayName": run.name,
        "description": None,
        "notes": None,
        "sweepName": None,
        "tags": [],
        "config": json.dumps(run.config),
        "summaryMetrics": json.dumps(run.rows[-1] if run.rows else {}),
        "historyLineCount": len(run.rows),
        "eventsLineCount": 0,
        "logLineCount": 0,
        "historyTail": json.dumps([json.dumps(each) for each in run.rows[-1:]]),
        "eventsTail": "[]",
        "wandbConfig": '{"t": 1}',
        "project": {"id": "p", "name": project, "entity": _ENTITY},
    }


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        wandb, path = self.server.wandb, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        password = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if wandb.status == 0:
            wandb.stopping.wait()
            return
        if wandb.status != 200 or password != f"api:{wandb.key}":
            self._send({"errors": [{"message": "no"}]}, wandb.status if wandb.status != 200 else 401)
        elif path == "/graphql":
            asked = json.loads(body)
            if _name_of(asked["query"]) in wandb.refused:
                self._send({"errors": [{"message": "no"}]}, 403)
                return
            given = asked.get("variables") or {}
            if _name_of(asked["query"]) == "UpsertBucket" and given["name"] in wandb.deleted:
                message = f"run {ENTITY}/p/{given['name']} was previously created and deleted; try a new run name"
                self._send({"errors": [{"message": message, "path": ["upsertBucket"]}], "data": {}}, 409)
                return
            self._send({"data": wandb.answer_query(asked["query"], given)})
        elif path.endswith("/file_stream"):
            wandb.take(path.split("/")[-2], json.loads(body))
            self._send({"exitcode": None, "limits": {}})
        else:
            self._send({})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, _, run_id, name = unquote(urlsplit(self.path).path).split("/", 3)
        self.server.wandb.runs[run_id].files[name] = body
        self._send({})

    def do_GET(self) -> None:
        self._send({})

    def _send(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, wandb: WandbServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.wandb = wandb


@contextmanager
def wandb_server(key: str, port: int = 0) -> Iterator[WandbServer]:
    """Start the server, by default on a free port, and stop it at the end."""
    wandb = WandbServer(key)
    with _Server(wandb, port) as server:
        wandb.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield wandb
        finally:
            wandb.stopping.set()
            server.shutdown()
            thread.join()
