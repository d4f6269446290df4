"""All operations of the OpenAPI document: their errors, and which of them a tour has called."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from touring.client import Tour

VERBS = ("get", "put", "post", "patch", "delete")


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, method and description of each operation."""
    paths = sorted(document["paths"].items())
    return [(path, verb.upper(), about) for path, all_ in paths for verb, about in all_.items() if verb in VERBS]


def refuse(tour: Tour, document: Mapping[str, Any]) -> None:
    """Send invalid requests to each operation: key, permissions, body, id, query and method."""
    tour.section = "refusals"
    admin, unable = tour.variables["admin"], tour.variables["node"]
    for path, method, about in operations(document):
        url, named = re.sub(r"\{\w+\}", "unknown", path), f"{method} {path}"
        bodies = about.get("requestBody", {}).get("content", {})
        is_json = "application/json" in bodies
        tour.key = ""
        tour.request(method, url, f"no key: {named}")
        tour.key = unable
        tour.request(method, url, f"no permission: {named}", {"nonsense": 1} if bodies else None)
        tour.key = admin
        if bodies:
            tour.request(method, url, f"bad body: {named}", {"nonsense": 1})
            tour.request(method, url, f"no JSON: {named}", b"{", {"Content-Type": "application/json"})
            tour.request(method, url, f"wrong type: {named}", b"x", {"Content-Type": "text/plain"})
        if url != path:
            tour.request(method, url, f"unknown id: {named}", _example(document, bodies) if is_json else None)
        if any(each["in"] == "query" for each in about.get("parameters", ())):
            tour.request(method, f"{url}?nonsense=1&limit=x", f"bad query: {named}")
    for path in document["paths"]:
        tour.request("PUT", re.sub(r"\{\w+\}", "unknown", path), f"wrong method: {path}")


def _example(document: Mapping[str, Any], bodies: Mapping[str, Any]) -> Any:
    name = bodies["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"].get(name, {}).get("example", {})


def coverage(records: list[dict[str, Any]], document: Mapping[str, Any]) -> Iterator[str]:
    """Yield which operations never succeeded, and which never returned an error."""
    known = [(_pattern(path), path, method) for path, method, _ in operations(document)]
    known.sort(key=lambda each: each[1].count("{"))
    seen = set[tuple[str, str, bool]]()
    for record in records:
        path = record["path"].partition("?")[0]
        called = (
            known_path
            for pattern, known_path, method in known
            if method == record["method"] and pattern.fullmatch(path)
        )
        seen.add((next(called, path), record["method"], record["status"] < 400))
    for is_success, label in ((True, "success"), (False, "refusal")):
        missing = [f"{method} {path}" for _, path, method in known if (path, method, is_success) not in seen]
        yield f"{label}: {len(known) - len(missing)} of {len(known)} operations"
        yield from (f"  none of {each}" for each in sorted(missing))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda found: ".+" if found[1] == "path" else "[^/]+", path))
