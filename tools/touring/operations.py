"""All operations of the OpenAPI document: what each of them refuses, and which a tour has called."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from touring.asking import Tour

VERBS = ("get", "put", "post", "patch", "delete")


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, method and description of each operation."""
    paths = sorted(document["paths"].items())
    return [(path, verb.upper(), about) for path, all_ in paths for verb, about in all_.items() if verb in VERBS]


def refuse(tour: Tour, document: Mapping[str, Any]) -> None:
    """Have each operation refuse all that can be wrong: key, permissions, body, id, query and method."""
    tour.section = "refusals"
    admin, unable = tour.kept["admin"], tour.kept["node"]
    for path, method, about in operations(document):
        url, named = re.sub(r"\{\w+\}", "nobody", path), f"{method} {path}"
        bodies = about.get("requestBody", {}).get("content", {})
        is_json = "application/json" in bodies
        tour.key = ""
        tour.ask(method, url, f"no key: {named}")
        tour.key = unable
        tour.ask(method, url, f"no permission: {named}", {"nonsense": 1} if bodies else None)
        tour.key = admin
        if bodies:
            tour.ask(method, url, f"bad body: {named}", {"nonsense": 1})
            tour.ask(method, url, f"no JSON: {named}", b"{", {"Content-Type": "application/json"})
            tour.ask(method, url, f"wrong type: {named}", b"x", {"Content-Type": "text/plain"})
        if url != path:
            tour.ask(method, url, f"unknown id: {named}", _example(document, bodies) if is_json else None)
        if any(each["in"] == "query" for each in about.get("parameters", ())):
            tour.ask(method, f"{url}?nonsense=1&limit=x", f"bad query: {named}")
    for path in document["paths"]:
        tour.ask("PUT", re.sub(r"\{\w+\}", "nobody", path), f"wrong method: {path}")


def _example(document: Mapping[str, Any], bodies: Mapping[str, Any]) -> Any:
    name = bodies["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"].get(name, {}).get("example", {})


def coverage(records: list[dict[str, Any]], document: Mapping[str, Any]) -> Iterator[str]:
    """Tell which operations have never succeeded, and which have never refused anything."""
    known = [(_pattern(path), path, method) for path, method, _ in operations(document)]
    known.sort(key=lambda each: each[1].count("{"))
    seen = set[tuple[str, str, bool]]()
    for record in records:
        at = record["path"].partition("?")[0]
        called = (path for pattern, path, method in known if method == record["method"] and pattern.fullmatch(at))
        seen.add((next(called, at), record["method"], record["status"] < 400))
    for is_success, word in ((True, "success"), (False, "refusal")):
        missing = [f"{method} {path}" for _, path, method in known if (path, method, is_success) not in seen]
        yield f"{word}: {len(known) - len(missing)} of {len(known)} operations"
        yield from (f"  none of {each}" for each in sorted(missing))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda found: ".+" if found[1] == "path" else "[^/]+", path))
