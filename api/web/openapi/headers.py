"""Describe the headers of responses in the OpenAPI document: each header once, and the rules for where it occurs."""

from collections.abc import Collection, Iterator
from typing import Any

from api.util.http.base_path import BASE_PATH
from api.util.http.envelope import JSON

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}

_RATE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

#: Description, schema and example of each header.
_HEADERS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "Accept-Ranges": ("`bytes` if the file can be requested in parts, else `none`.", _TEXT, "bytes"),
    "Age": ("Seconds since the answer was produced or the GPUs were read.", _COUNT, 3),
    "Content-Disposition": ("The file's name.", _TEXT, 'attachment; filename="adapter_model.safetensors"'),
    "Content-Range": ("The part that is sent, and the size of the file.", _TEXT, "bytes 0-1023/184550000"),
    "ETag": ("The version of the answer, for `If-None-Match`.", _TEXT, 'W/"9f2c61d07be84a35c1e0aa42"'),
    "Idempotent-Replayed": ("`true` if an earlier request with this Idempotency-Key has done the work.", _TEXT, "true"),
    "Last-Modified": ("When the file was written.", _TEXT, "Tue, 24 Nov 2026 07:41:09 GMT"),
    "Location": (
        "Where to find the new resource, or to follow the accepted work.",
        {"type": "string", "format": "uri-reference"},
        f"{BASE_PATH}/training/train_20261124_07000001",
    ),
    "Retry-After": ("Seconds after which a retry may succeed; absent if only an administrator can help.", _COUNT, 2),
    "Set-Cookie": ("The cookie of a sign-in: HttpOnly, SameSite=Strict.", _TEXT, None),
    "Tus-Max-Size": ("The largest upload in bytes.", _COUNT, 107374182400),
    "Tus-Resumable": ("The version of tus.", _TEXT, "1.0.0"),
    "Tus-Version": ("The versions of tus that the service supports.", _TEXT, "1.0.0"),
    "Upload-Expires": ("When an unfinished upload is deleted.", _TEXT, "Wed, 25 Nov 2026 07:00:00 GMT"),
    "Upload-Length": ("The size of the whole upload in bytes.", _COUNT, 52428800),
    "Upload-Metadata": ("The metadata of the upload as it was sent.", _TEXT, "filename eC5wbmc=,dataset Y2F0cw=="),
    "Upload-Offset": ("Bytes that are stored durably.", _COUNT, 8388608),
    "WWW-Authenticate": ("The way to authenticate.", _TEXT, "Bearer"),
    "X-Next-Offset": ("The offset for the next request, if the log is requested as text.", _COUNT, 48211),
    "X-RateLimit-Limit": ("Requests that the limit allows in its period.", _COUNT, 10),
    "X-RateLimit-Remaining": ("Requests that are left in this period.", _COUNT, 9),
    "X-RateLimit-Reset": ("When the period ends, in Unix seconds.", _COUNT, 1764003600),
    "X-Stale": ("Why an earlier answer is sent: an error code. `Age` has its age.", _TEXT, "database_unavailable"),
}

_SIGN_IN = f"{BASE_PATH}/auth/"
_UPLOADS = f"{BASE_PATH}/uploads"


def describe_headers(document: dict[str, Any], limited: Collection[tuple[str, str]]) -> None:
    """Add the headers to all responses. `limited` holds path and method of the operations with a rate limit."""
    components = document["components"]
    components["headers"] = {
        name: {"description": text, "schema": schema} | ({} if example is None else {"example": example})
        for name, (text, schema, example) in _HEADERS.items()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                names = set(_names(path, method, operation, status))
                if (path, method) in limited and status not in ("401", "403"):
                    names.update(_RATE)
                _add(response, names)
    _add(components["responses"]["Failure"], {"Retry-After", *_RATE})


def _add(response: dict[str, Any], names: Collection[str]) -> None:
    if names and "$ref" not in response:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}


def _names(path: str, method: str, operation: dict[str, Any], status: str) -> Iterator[str]:
    """Yield the headers of one response, apart from those of rate limits."""
    yield from _of_status(operation, status)
    if status == "200" and method == "get":
        yield from _of_read(operation)
    if path.startswith(_UPLOADS):
        yield from _of_upload(path, method, status)
    if path.startswith((f"{_SIGN_IN}log", f"{_SIGN_IN}oidc/")) and status in ("200", "303"):
        yield "Set-Cookie"


def _of_status(operation: dict[str, Any], status: str) -> Iterator[str]:
    responses = operation["responses"]
    is_retried = any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", []))
    if status in ("201", "202", "303") or (status == "200" and "202" in responses):
        yield "Location"
    if status.startswith("2") and is_retried:
        yield "Idempotent-Replayed"
    if status == "401":
        yield "WWW-Authenticate"
    if status in ("429", "503") or (status == "409" and is_retried):
        yield "Retry-After"
    if status in ("200", "304") and "304" in responses:
        yield "ETag"
    if status in ("200", "206") and "206" in responses:
        yield from ("Accept-Ranges", "Content-Disposition", "ETag", "Last-Modified")
    if status in ("206", "416"):
        yield "Content-Range"


def _of_read(operation: dict[str, Any]) -> Iterator[str]:
    content = operation["responses"]["200"]["content"]
    if JSON in content:
        # While the database does not answer, any of these may be an earlier answer: see responses.py.
        yield from ("Age", "X-Stale")
    elif "304" in operation["responses"] and "text/plain" in content:
        yield "Age"
    if "application/zip" in content:
        yield from ("Accept-Ranges", "Content-Disposition")
    # A page, or a picture that is no thumbnail: they are downloads.
    if "text/html" in content or ("image/png" in content and "304" not in operation["responses"]):
        yield "Content-Disposition"
    if "text/plain" in content and any(each["name"] == "format" for each in operation.get("parameters", [])):
        yield "X-Next-Offset"


def _of_upload(path: str, method: str, status: str) -> Iterator[str]:
    yield "Tus-Resumable"
    if status == "412":
        yield "Tus-Version"
    if status == "413":
        yield "Tus-Max-Size"
    if status == "409" and method == "patch":
        yield "Upload-Offset"
        yield "Retry-After"
    if status.startswith("2") and (path != _UPLOADS or method == "post") and method != "delete":
        yield from ("Upload-Expires", "Upload-Length", "Upload-Offset")
        if method == "get":
            yield "Upload-Metadata"
