"""Swagger UI for the OpenAPI document. All its files come from this service."""

import threading
from functools import cache
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, current_app

from api.errors import NotFound
from api.util.http.envelope import JSON, encode_json
from api.web.packed_responses import PackedFile, answer_packed, pack, pack_as

#: One request builds the document; concurrent ones wait for it.
_DOCUMENT_LOCK = threading.Lock()
_DOCUMENT = "openapi-document"

docs = Blueprint("docs", __name__)

_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"

#: The files of Swagger UI that the page uses.
_NAMES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
_FILE_HEADERS = {"Cache-Control": "public, max-age=86400"}

# Swagger UI sets inline styles; scripts come from files only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Diffusion-Pipe API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'


@docs.get("/openapi.json")
def get_document() -> Response:
    """Return the OpenAPI document."""
    with _DOCUMENT_LOCK:
        app = current_app
        if _DOCUMENT not in app.extensions:
            # Built at the first request and cached: it takes a third of a second and 16 MB.
            app.extensions[_DOCUMENT] = pack_as(JSON, encode_json(app.spec))  # type: ignore[attr-defined]
        packed: PackedFile = app.extensions[_DOCUMENT]
    return answer_packed(packed, {"Cache-Control": "no-cache"})


@docs.get("/docs")
def get_page() -> Response:
    """Return the page."""
    return Response(_PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


@docs.get("/docs/start.js")
def get_start() -> Response:
    """Return the script that starts Swagger UI. It is a file because the policy forbids inline scripts."""
    return Response(_START, content_type="text/javascript; charset=utf-8")


@docs.get("/docs/assets/<path:name>")
def get_asset(name: str) -> Response:
    """Return a file of Swagger UI."""
    if name not in _NAMES:
        raise NotFound
    return answer_packed(_packed(name), _FILE_HEADERS)


@cache
def _packed(name: str) -> PackedFile:
    return pack(name, (_FOLDER / name).read_bytes())
