"""Record the examples of the OpenAPI document: `examples.py [OPERATION_ID ...]`, by default those that are missing.

Plays the script of the tour against real servers, takes one successful response of each operation, shortens it, and
replaces what belongs to this machine. `--all` records every example again.
"""

import argparse
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from tour import ROOT, Trip, read_scripts
from touring.client import Tour
from touring.names import KEY, WORDS, Names
from touring.operations import operations
from touring.servers import end_processes, main_settings, prepare

from api.web.openapi.components import EXAMPLES, read_examples
from tests.comfyui_server import comfy_server
from tests.local_hub import LocalHub, running_hub

#: The most characters of a text, of a list's first row beside which a second one is shown, and values of a plain list.
TEXT, ROW, VALUES = 400, 300, 4

#: Better names than those of the script.
NAMES = {
    "x.png": "cat-01.png",
    "eC5wbmc=": "Y2F0LTAxLnBuZw==",
    "x.safetensors": "style.safetensors",
    "mine": "kohya-1",
    "a look": "maintenance",
    "ordered": "fan ordered",
    "ann/none": "ann/base",
}

#: Parameters of every list.
PAGING = {"limit", "offset", "cursor"}

#: Longer answers are no better examples.
ENOUGH = 3000


class Seen(NamedTuple):
    """A request with its response."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    body: Any
    status: str
    answer: Any
    is_usual: bool  #: from the main server


class Recorder:
    """Collects successful responses."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.document: dict[str, Any] = {}

    def observe(self, answer: httpx.Response, body: Any) -> None:
        """Store a response, and the request if it was refused."""
        kind = answer.headers.get("content-type", "").partition(";")[0]
        found = None
        if answer.is_success and answer.content:
            found = answer.json() if kind == "application/json" else answer.text if kind == "text/plain" else None
        sent = body if isinstance(body, dict) else None
        request = answer.request
        status, is_usual = str(answer.status_code), not self.document
        self.seen.append(Seen(request.method, request.url, request.headers, sent, status, found, is_usual))

    def read_document(self, tour: Tour) -> None:
        """Fetch the document that the examples belong to."""
        self.document = tour.client.get("/openapi.json", headers=tour.authorization()).json()

    def examples(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield tag, operation id and example of each operation."""
        known = [(_pattern(path), method, about) for path, method, about in operations(self.document)]
        known.sort(key=lambda each: each[0].pattern.count("("))
        of = defaultdict[str, list[tuple[Seen, dict[str, str]]]](list)
        for seen in self.seen:
            for pattern, method, about in known:
                if method == seen.method and (match := pattern.fullmatch(seen.url.path)):
                    of[about["operationId"]].append((seen, match.groupdict()))
                    break
        for _, _, about in known:
            name = about["operationId"]
            yield about["tags"][0], name, _example(about, of[name])


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        re.sub(r"\{(\w+)\}", lambda found: rf"(?P<{found[1]}>{'.+' if found[1] == 'path' else '[^/]+'})", path)
    )


def _example(about: Mapping[str, Any], candidates: list[tuple[Seen, dict[str, str]]]) -> dict[str, Any]:
    """Return the example of an operation: an answer for each status, and the request of the first."""
    successes = [each for each in candidates if each[0].status in about["responses"] and each[0].status < "400"]
    best: dict[str, tuple[Seen, dict[str, str]]] = {}
    for each in successes:
        if each[0].status not in best or _worth(each[0]) > _worth(best[each[0].status][0]):
            best[each[0].status] = each
    chosen = [best[status] for status in about["responses"] if status in best] or candidates[:1]
    if not chosen:
        return {}
    first = chosen[0][0]
    example: dict[str, Any] = {"parameters": {}}
    for seen, path in reversed(chosen):
        example["parameters"] |= _parameters(about, seen, path)
    if first.body is not None and "requestBody" in about:
        example["request"] = first.body
    answers = {seen.status: shortened(seen.answer) for seen, _ in chosen if seen.answer is not None}
    return example | ({"answers": answers} if answers else {})


def _worth(seen: Seen) -> tuple[bool, bool, int]:
    return seen.is_usual, bool(seen.url.params.keys() - PAGING), min(len(json.dumps(shortened(seen.answer))), ENOUGH)


def _parameters(about: Mapping[str, Any], seen: Seen, path: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    given = {**seen.headers, **seen.url.params, **path}
    for parameter in about.get("parameters", []):
        name = parameter["name"]
        value = given.get(name.lower() if parameter["in"] == "header" else name)
        if value is not None:
            kinds = json.dumps(parameter["schema"])
            is_number = re.search(r'"type": "(integer|number)"', kinds) and re.fullmatch(r"-?\d+(\.\d+)?", value)
            is_plain = is_number or ('"boolean"' in kinds and value in ("true", "false"))
            yield name, json.loads(value) if is_plain else value


def shortened(value: Any) -> Any:
    """Return a JSON value with short lists and texts."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        are_rows = any(isinstance(each, dict | list) for each in value)
        rows = [shortened(each) for each in value[: 2 if are_rows else VALUES]]
        return rows[:1] if are_rows and len(json.dumps(rows[0])) > ROW else rows
    if isinstance(value, str) and len(value) > TEXT:
        return value[:TEXT].rpartition("\n")[0] or value[:TEXT]
    return value


def _clean(text: str, replacements: Mapping[str, str]) -> str:
    """Replace what belongs to this machine, and secrets."""
    for found, instead in replacements.items():
        text = re.sub(rf"(?<!\w){re.escape(found)}(?!\w)", instead, text)
    text = re.sub(r"(https?://)?127\.0\.0\.1:\d{4,5}", "https://huggingface.co", text).replace(
        "127.0.0.1", "192.0.2.10"
    )
    text = KEY.sub(r"\1_" + "example".ljust(43, "0"), text)
    secret = next(pattern for pattern, word in WORDS if word == "<secret>")
    return secret.sub("example".ljust(43, "0"), text)


def record() -> tuple[Recorder, dict[str, str]]:
    """Play the script, and return the responses with the replacements for the names of this machine."""
    recorder, scripts = Recorder(), read_scripts()
    with TemporaryDirectory(prefix="tour-") as home, running_hub() as hub, comfy_server(Path(home) / "loras") as comfy:
        variables, files = prepare(Path(home), hub, comfy.url)
        trip = Trip(ROOT, Path(home), hub, Names({}), dict(variables), files, scripts, recorder.observe)
        try:
            _take(trip, recorder, hub)
        finally:
            end_processes(Path(home))
        return recorder, {
            f"{hub.address}/hook": "https://hooks.example.org/gpus",
            **{f"{home}/{name}/data": "/var/lib/diffusion-pipe-api" for name in ("main", "laptop")},
            home: "/srv/training",
            sys.executable: "/opt/diffusion-pipe-api/.venv/bin/python",
            sys.prefix: "/opt/diffusion-pipe-api/.venv",
            str(ROOT): "/opt/diffusion-pipe-api",
            os.uname().nodename: "gpu1",
            "tour": "gpu1",
            **NAMES,
        }


def _take(trip: Trip, recorder: Recorder, hub: LocalHub) -> None:
    trip.take("main", "main", main_settings(trip.home, hub, trip.variables["comfyui"]), recorder.read_document)
    trip.take("laptop", "laptop", {})
    trip.run_commands([f"restore {trip.home}/laptop.tar.gz --force"], trip.settings("laptop", {}))
    trip.take("restored", "laptop", {})


def main() -> None:
    """Record, and write one file per tag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operations", nargs="*", metavar="OPERATION_ID", help="record these again")
    parser.add_argument("--all", action="store_true", help="record all again")
    given = parser.parse_args()
    known = {} if given.all else {name: at for name, at in read_examples().items() if name not in given.operations}
    recorder, replacements = record()
    files = defaultdict[str, dict[str, Any]](dict)
    for tag, name, example in recorder.examples():
        files[tag][name] = known.get(name) or json.loads(_clean(json.dumps(example), replacements))
    EXAMPLES.mkdir(exist_ok=True)
    for tag, examples in files.items():
        text = json.dumps(dict(sorted(examples.items())), indent=1, ensure_ascii=False)
        (EXAMPLES / f"{tag.lower()}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
