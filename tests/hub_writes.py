"""The write requests of a model hub on this machine: repositories, large files (whole or in parts), and commits."""

import base64
import hashlib
import json
from typing import Any

#: Files that a hub stores beside its repositories.
_LARGE = (".safetensors", ".pth", ".bin", ".png", ".mp4")


class HubWrites:
    """The requests that change the hub, a `LocalHub` in `hub`."""

    def take_post(self: Any) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        given = self.headers.get("Authorization")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.requests.append((self.path, None, given))
        what = next((name for name in _WHATS if _WHATS[name] in path), "other")
        if hub.write_fault is not None and hub.write_fault(self, what):
            return
        if what != "complete" and hub.token is not None and given != f"Bearer {hub.token}":
            self.answer(401, b"{}")
            return
        getattr(self, f"_{what}", self._other)(path, body)

    def take_put(self: Any) -> None:
        hub = self.hub
        hub.requests.append((self.path, None, self.headers.get("Authorization")))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if hub.write_fault is not None and hub.write_fault(self, "put"):
            return
        oid, _, part = self.path.removeprefix("/lfs/").partition("?")[0].partition("/")
        if len(body) != int(self.headers.get("Content-Length", 0)):
            self.close_connection = True
        elif part:
            hub.stored[f"{oid}/{part}"] = body
            self.answer(200, b"", ETag=f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        elif hashlib.sha256(body).hexdigest() != oid:
            self.answer(400, b"")
        else:
            hub.stored[oid] = body
            self.answer(200, b"")

    def _create(self: Any, path: str, body: bytes) -> None:
        about = json.loads(body)
        repository = f"{about['organization']}/{about['name']}"
        with self.hub.lock:
            is_there = repository in self.hub.files
            self.hub.files.setdefault(repository, {})
        address = f"{self.hub.address}/{repository}"
        self.answer(409 if is_there else 200, json.dumps({"url": address, "id": "1", "name": repository}).encode())

    def _yaml(self: Any, path: str, body: bytes) -> None:
        self.answer(200, b'{"errors": [], "warnings": []}')

    def _branch(self: Any, path: str, body: bytes) -> None:
        self.answer(200, b"{}")

    def _preupload(self: Any, path: str, body: bytes) -> None:
        repository = path.removeprefix("/api/models/").partition("/preupload/")[0]
        if repository not in self.hub.files:
            self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
            return
        files = []
        for each in json.loads(body)["files"]:
            is_large = each["path"].endswith(_LARGE)
            there = self.hub.files[repository].get(each["path"])
            oid = None if there is None else _large_oid(there) if is_large else _oid(there)
            mode = "lfs" if is_large else "regular"
            files.append({"path": each["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer(200, json.dumps({"files": files}).encode())

    def _lfs(self: Any, path: str, body: bytes) -> None:
        hub = self.hub
        objects: list[dict[str, Any]] = []
        for each in json.loads(body)["objects"]:
            oid, size = each["oid"], each["size"]
            about: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in hub.stored:
                root = hub.upload_address or hub.address
                upload: dict[str, Any] = {"href": f"{root}/lfs/{oid}?signature=planted-signature"}
                if hub.part_size is not None:
                    count = -(-size // hub.part_size)
                    parts = {str(n + 1): f"{root}/lfs/{oid}/{n + 1}?signature=planted-signature" for n in range(count)}
                    upload = {"href": f"{hub.address}/lfs-complete/{oid}"}
                    upload["header"] = {"chunk_size": str(hub.part_size), **parts}
                about["actions"] = {"upload": upload}
            objects.append(about)
        self.answer(200, json.dumps({"objects": objects, "transfer": "basic"}).encode())

    def _complete(self: Any, path: str, body: bytes) -> None:
        oid, count = path.rpartition("/")[2], len(json.loads(body)["parts"])
        content = b"".join(self.hub.stored.pop(f"{oid}/{n + 1}") for n in range(count))
        if hashlib.sha256(content).hexdigest() != oid:
            self.answer(400, b"")
            return
        self.hub.stored[oid] = content
        self.answer(200, b"{}")

    def _commit(self: Any, path: str, body: bytes) -> None:
        hub = self.hub
        repository = path.removeprefix("/api/models/").partition("/commit/")[0]
        message, changed, parent = "", {}, None
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message, parent = value["summary"], value.get("parentCommit")
            elif line["key"] == "lfsFile":
                changed[value["path"]] = hub.stored[value["oid"]]
            else:
                changed[value["path"]] = base64.b64decode(value["content"])
        with hub.lock:
            if parent not in (None, hub.revision_of(repository)):
                self.answer(412, b"{}")
                return
            hub.files[repository].update(changed)
            hub.commits.append((repository, message, sorted(changed)))
            oid = hub.revision_of(repository)
        created = {"commitUrl": f"{hub.address}/{repository}/commit/{oid}", "commitOid": oid, "pullRequestUrl": None}
        self.answer(200, json.dumps(created).encode())

    def _other(self: Any, path: str, body: bytes) -> None:
        self.answer(404, b"{}")


#: The kind of a request, by a part of its path.
_WHATS = {
    "create": "/api/repos/create",
    "yaml": "/api/validate-yaml",
    "branch": "/branch/",
    "preupload": "/preupload/",
    "lfs": "/info/lfs/objects/batch",
    "complete": "/lfs-complete/",
    "commit": "/commit/",
}


def _large_oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
