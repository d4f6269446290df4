"""The generated part of the documents: `python tools/reference.py` prints it as JSON for the hook of `make docs`.

`parts` are texts by the marker in a page of docs/reference that they replace, `pages` are pages of their own, and
`links` are the locations of names: settings, operations, error codes and so on.
"""

import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import api
from api import errors
from api.alerts.facts.exposition import LABELS, SERIES
from api.alerts.rules.builtin import BUILTIN_RULES
from api.app import create_app
from api.composition.composition import Runtime
from api.config import SETTINGS, Config
from api.domain.access.principal import PERMISSION_GROUPS, ROLE_PERMISSIONS, Permission, Role
from api.domain.machines.gpu import GPUStatus, Verdict
from api.domain.machines.gpu_event import EventType
from api.domain.reason import text_of
from api.domain.tasks.cause import RETRIED_BY_DEFAULT, RETRIED_BY_ITSELF, CauseCode
from api.domain.tasks.progress import Stage
from api.domain.tasks.training import EventKind, TaskStatus
from api.gpus.health.xids import CATALOGUE
from api.gpus.metrics import exposition as metrics
from api.gpus.snapshot import GPUSnapshot
from api.main import main
from api.trainers.environment import VARIABLES
from api.util.http.base_path import BASE_PATH
from api.web.operations import Operation, OperationTable

#: A comment `#: …` after a member of a class, and comments above one.
_AFTER = re.compile(r"^ +(\w+)(?:: | = )[^\n]*?  #: (.*)$", re.MULTILINE)
_ABOVE = re.compile(r"((?:^ +#: .*\n)+) +(\w+)\b", re.MULTILINE)
#: Fields that mean the same in every type. A comment at the field itself comes first.
_USUAL = {
    "actor": "user, or part of the service, that did it",
    "code": "stable identifier, for programs",
    "created_at": "when it was created",
    "created_by": "user that created it",
    "cuda_version": "newest version of CUDA that the driver supports; null if unknown",
    "description": "text of its owner; null if none",
    "driver_version": "version of NVIDIA's driver; null if unknown",
    "failure": "why it failed; null unless it failed",
    "finished_at": "when it ended; null while it has not",
    "fps": "frames per second; null if unknown",
    "frame_count": "number of frames; null if unknown",
    "gpu_id": "index of the GPU on its machine; null if the driver does not list it now",
    "gpu_ids": "indices of its GPUs on their machine",
    "gpu_uuids": "UUIDs of its GPUs",
    "height": "in pixels; null if unknown",
    "is_this_server": "whether it answers this request",
    "last_seen": "time of its latest report",
    "message": "text for people",
    "model_type": "model type, as in a training request",
    "model_id": "model type, as in a training request",
    "name": "its name",
    "node": "name of the machine",
    "notes": "further facts as text",
    "owner": "user to whom it belongs; null if the service has no keys",
    "pagination": "position of this page in the list",
    "pid": "process id",
    "reason": "why; null if there is nothing to explain",
    "reason_code": "code of the reason, for programs and translations",
    "remedy": "what to do about it",
    "request": "the request as it was sent, secrets masked",
    "sha256": "SHA-256 of the bytes, in hexadecimal",
    "size_bytes": "size in bytes",
    "source": "where the readings come from",
    "stale": "whether the reading is too old to rely on",
    "started_at": "when it started; null while it has not",
    "state": "its current state",
    "status": "its current status",
    "status_reason": "why it has this status; null if it is free",
    "tags": "words to find it by",
    "task_id": "id of the task",
    "task_type": "kind of the task",
    "timestamp": "time of the value; null if unknown",
    "updated_at": "when it was last changed",
    "user_id": "name of the user",
    "uuid": "UUID, which stays the same when indices change; null if unknown",
    "version": "its version",
    "waiting_reason": "what a waiting task waits for; null if it does not wait",
    "waiting_reason_code": "code of the reason, for programs and translations",
    "warnings": "problems that do not prevent it; empty: none",
    "width": "in pixels; null if unknown",
}
#: Parts of addresses.
_PATH_PARTS = {
    "/datasets/{name}": "name of the dataset",
    "/registry/{name}": "name of the model in the library",
    "/nodes/{name}": "name of the node",
    "/sample-sets/{name}": "name of the sample set",
    "/presets/{name}": "name of the preset, such as `24gb`",
    "/registry/{name}/versions/{version}": "number, alias, or `latest`",
    "/datasets/{name}/versions/{version}": "number, `sha256:…` of the manifest, or `latest`",
    "/gpu/{gpu_id}": "index or UUID; with several machines also as `gpu2:0`",
    "/artifacts/{path}": "`path` of the artifact, as listed",
    "/strays/{attempt_uid}": "id of the attempt",
}
_COMMANDS = (
    "",
    "key",
    "key new",
    "key list",
    "key revoke",
    "key file",
    "backup",
    "restore",
    "audit-verify",
    "check-trainer",
    "worker",
)


@dataclass
class Reference:
    """What the hook needs."""

    parts: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def link(self, name: str, location: str) -> None:
        """Remember where a name is explained. Of two meanings the first counts: error codes come before rules."""
        self.links.setdefault(name, location)


def cell(text: object) -> str:
    """Return a text for a cell of a table."""
    return " ".join(str(text or "").split()).replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def slug(name: str) -> str:
    """Return the anchor of a name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def named(name: str, prefix: str = "") -> str:
    """Return a name as code that can be linked to."""
    return f"`{name}`{{#{slug(prefix + name)}}}"


def comments(kind: type) -> dict[str, str]:
    """Return the comments `#: …` beside or above the members of a class and its bases."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        if not each.__module__.startswith("api."):
            continue
        source = inspect.getsource(each)
        above = {name: " ".join(re.findall(r"#: (.*)", text)) for text, name in _ABOVE.findall(source)}
        found |= above | dict(_AFTER.findall(source))
    return found


def values(kind: type[StrEnum]) -> list[tuple[str, str]]:
    """Return the values of an enum with their comments."""
    texts = comments(kind)
    return [(value.value, texts.get(value.name, "")) for value in kind]


def classes() -> dict[str, type]:
    """Return all public classes of the service by name; no name occurs twice."""
    found = {}
    for module in pkgutil.walk_packages(api.__path__, "api."):
        # A supervisor's module runs as a program, and sources need a driver.
        if any(part in module.name for part in ("schemas", "views", "_models", ".domain.")):
            loaded = importlib.import_module(module.name)
            found |= {name: each for name, each in vars(loaded).items() if inspect.isclass(each)}
    return found


def add_settings(reference: Reference) -> None:
    """Add the settings."""
    rows = []
    for each in SETTINGS.values():
        env = each.metadata["env"]
        reference.link(env, f"reference/settings.md#{slug(env)}")
        rows.append((named(env), f"`{each.metadata['shown']}`", each.metadata["help"]))
    reference.parts["settings"] = table(("setting", "default", "meaning"), rows)


def add_commands(reference: Reference) -> None:
    """Add the command line: what --help prints, with the options that are settings left out, and `make help`."""
    texts = []
    for command in _COMMANDS:
        text = _help(command)
        if not command:
            # The settings have a page of their own.
            text = "usage: python -m api [COMMAND] [--SETTING VALUE ...]\n\n" + text[text.index("Each setting is") :]
        texts.append(f"## `python -m api{f' {command}' if command else ''}`\n\n```text\n{text.strip()}\n```\n")
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, re.MULTILINE)
    texts.append("## `make`\n\n" + table(("target", ""), ((f"`make {name}`", text) for name, text in targets)))
    reference.parts["commands"] = "\n".join(texts)


def _help(command: str) -> str:
    """Return what a command prints with --help."""
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        main([*command.split(), "--help"])
    return shown.getvalue()


def error_kinds(kind: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[errors.ServiceError]]:
    """Return all classes of errors."""
    yield kind
    for narrower in kind.__subclasses__():
        yield from error_kinds(narrower)


def add_errors(reference: Reference) -> None:
    """Add the codes of errors, and the causes of failed tasks."""
    found: dict[str, type[errors.ServiceError]] = {}
    for kind in error_kinds():
        if "code" in vars(kind):
            found.setdefault(kind.code, kind)
    rows = []
    for kind in sorted(found.values(), key=lambda each: (each.status, each.code)):
        reference.link(kind.code, f"reference/error-codes.md#{slug(kind.code)}")
        rows.append((kind.status, named(kind.code), kind.message))
    reference.parts["errors"] = table(("HTTP", "`error.code`", "message"), rows)
    causes = []
    for value, text in values(CauseCode):
        reference.link(value, f"reference/error-codes.md#{slug('cause-' + value)}")
        cause = CauseCode(value)
        retry = f"yes, {RETRIED_BY_ITSELF[cause]} times in a row" if cause in RETRIED_BY_ITSELF else ""
        retry = retry or ("with `max_retries`" if cause in RETRIED_BY_DEFAULT else "no")
        causes.append((named(value, "cause-"), text or value.replace("_", " "), retry))
    reference.parts["causes"] = table(("`failure.code`", "meaning", "retried"), causes)


def add_events(reference: Reference, document: Mapping[str, Any]) -> None:
    """Add statuses, events and streams."""
    for name, kind in {
        "statuses": TaskStatus,
        "stages": Stage,
        "task-events": EventKind,
        "gpu-events": EventType,
        "gpu-statuses": GPUStatus,
        "verdicts": Verdict,
    }.items():
        shown = ((f"`{value}`", text or value) for value, text in values(kind))
        reference.parts[name] = table(("value", "meaning"), shown)
    texts = []
    for address, stream in document["x-streams"].items():
        shown = [(f"`{name}`", f"`{content}`") for name, content in stream["messages"].items()]
        query = [(f"`{name}`", text) for name, text in stream["query"].items()]
        texts.append(
            f"### `{address}` {{#{slug(address)}}}\n\nThe `id` of a message is {stream['id']}.\n\n"
            + table(("message", "data"), shown)
            + "\n"
            + table(("query parameter", "meaning"), query)
        )
        reference.link(f"GET {address.removeprefix(BASE_PATH)}", f"reference/events.md#{slug(address)}")
    reference.parts["streams"] = "\n".join(texts)


def add_rules(reference: Reference) -> None:
    """Add the built-in rules of alerts."""
    rows = []
    for rule in BUILTIN_RULES.values():
        reference.link(rule.rule_id, f"reference/alert-rules.md#{slug(rule.rule_id)}")
        joined = (" or " if rule.any_of else " and ").join(map(clause, rule.when))
        lasting = f" for {rule.for_seconds:g} s" if rule.for_seconds else ""
        rows.append((named(rule.rule_id), rule.severity.value, f"`{joined}`{lasting}", f"{rule.title}. {rule.remedy}"))
    reference.parts["rules"] = table(("rule", "severity", "condition", "meaning and remedy"), rows)


def clause(each: Any) -> str:
    """Return one condition of a rule."""
    if each.of is None:
        return f"{each.metric} {each.compare.value} {each.value:g}"
    offset = f" {'+' if each.value > 0 else '-'} {abs(each.value):g}" if each.value else ""
    return f"{each.metric} {each.compare.value} {each.of}{offset}"


def add_xids(reference: Reference) -> None:
    """Add the catalogue of Xid errors."""
    rows = [
        (code, text_of(xid.meaning), xid.kind.value, xid.retry.value, text_of(xid.advice))
        for code, xid in sorted(CATALOGUE.items())
    ]
    reference.parts["xids"] = table(("Xid", "meaning", "effect", "the training", "advice"), rows)


def add_metrics(reference: Reference, scraped: str) -> None:
    """Add the series of /metrics: those that a scrape shows, and those that appear with tasks, GPUs and alerts."""
    rows: dict[str, tuple[str, str, str]] = {}

    def note(lines: object, name: str, family: Any, samples: object) -> None:
        dcgm = " With `METRICS_DCGM_ALIASES=1`." if name.startswith("DCGM") else ""
        rows[name] = (family.type, "" if "collect" in name else "`uuid`", family.help + dcgm)

    # Without GPUs no series has a sample: the function that would leave them out is replaced.
    original, metrics._render = metrics._render, note  # noqa: SLF001
    try:
        nothing = cast(GPUSnapshot, _Nothing())
        metrics.render_gpu_metrics(nothing, (), {}, metrics.CollectStats(0, None), 0.0, "host")
    finally:
        metrics._render = original  # noqa: SLF001
    for name, help_ in re.findall(r"^# HELP (\S+) (.*)$", scraped, re.MULTILINE):
        kind = re.search(rf"^# TYPE {name} (\w+)$", scraped, re.MULTILINE)
        samples = " ".join(re.findall(rf"^{name}\S*\{{.*\}}", scraped, re.MULTILINE))
        labels = sorted(set(re.findall(r'(\w+)="', samples)))
        rows.setdefault(name, (kind[1] if kind else "", ", ".join(f"`{label}`" for label in labels), help_))
    for series in SERIES:
        labels = [*LABELS[series.scope].values(), *(label for label, _ in series.more_labels)]
        rows[f"diffusion_pipe_{series.name}"] = ("gauge", ", ".join(f"`{label}`" for label in labels), series.help)
    shown = ((f"`{name}`", *rest) for name, rest in sorted(rows.items()))
    reference.parts["metrics"] = table(("series", "type", "labels", "meaning"), shown)


class _Nothing:
    """A snapshot without readings."""

    stuck, problem, duration = 0, None, 0.0

    def __getattr__(self, name: str) -> None:
        return None


def add_permissions(reference: Reference) -> None:
    """Add permissions with the roles that have them, and the variables of a request's environment."""
    rows = []
    for value, text in values(Permission):
        reference.link(value, f"reference/permissions.md#{slug(value)}")
        has = ("yes" if Permission(value) in ROLE_PERMISSIONS[role] else "" for role in Role)
        rows.append((named(value), *has, text))
    reference.parts["permissions"] = table(("permission", *(role.value for role in Role), "for"), rows)
    groups = ((f"`{name}`", ", ".join(f"`{each.value}`" for each in sorted(group))) for name, group in
              PERMISSION_GROUPS.items())  # fmt: skip
    reference.parts["permission-groups"] = table(("group", "permissions"), groups)
    variables = [(named(each.name), each.kind.value, each.meaning) for each in VARIABLES.values()]
    for each in VARIABLES.values():
        reference.link(each.name, f"reference/environment-variables.md#{slug(each.name)}")
    reference.parts["variables"] = table(("variable", "value", "meaning"), variables)


# The HTTP API.


class HTTPPages:
    """One page for each tag of the OpenAPI document: its operations, then the types that they are the first to use."""

    def __init__(self, reference: Reference, document: Mapping[str, Any]) -> None:
        self._reference = reference
        self._document = document
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]
        self._classes = classes()
        self._homes: dict[str, str] = {}
        self._needs = {_braced(each): each for each in OperationTable().all}

    def add(self) -> None:
        """Add the pages and their list."""
        tags = {tag["name"]: tag["description"] for tag in self._document["tags"]}
        operations: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {name: [] for name in tags}
        for path, methods in sorted(self._document["paths"].items()):
            for method, operation in methods.items():
                operations[operation["tags"][0]].append((method.upper(), path, operation))
        types = {name: self._types_of(name, own) for name, own in operations.items()}
        for name, own in operations.items():
            texts = [f"# {name}\n\n{tags[name]}\n", *(self._operation(name, *each) for each in own), "## Types\n"]
            texts += [self._type(name, each) for each in types[name]]
            self._reference.pages[f"reference/http/{slug(name)}.md"] = "\n".join(texts)
        listed = [(f"[{name}](http/{slug(name)}.md)", text, len(operations[name])) for name, text in tags.items()]
        self._reference.parts["http"] = table(("part", "", "operations"), listed)

    def _types_of(self, tag: str, operations: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
        found: list[str] = []
        waiting = [name for *_, operation in operations for name in _references(operation)]
        while waiting:
            name = waiting.pop(0)
            if name in self._homes or name == "Failure":
                continue
            self._homes[name] = tag
            waiting = [*_references(self._schemas[name]), *waiting]
            if not _is_envelope(self._schemas[name]):
                found.append(name)
        return sorted(found)

    def _operation(self, tag: str, method: str, path: str, operation: Mapping[str, Any]) -> str:
        anchor = slug(f"{method} {path.removeprefix(BASE_PATH)}")
        self._reference.link(f"{method} {path.removeprefix(BASE_PATH)}", f"reference/http/{slug(tag)}.md#{anchor}")
        texts = [f"## {operation['summary']} {{#{anchor}}}\n", f"`{method} {path}`\n", self._need(method, path)]
        texts.append(f"{operation.get('description', '')}\n")
        rows = []
        for each in operation.get("parameters", ()):
            meaning = _text(each) or _part(path, each["name"])
            rows.append((f"`{each['name']}`", each["in"], self._shown(tag, each["schema"]), meaning))
        if rows:
            texts.append(table(("parameter", "in", "type", "meaning"), rows))
        body = operation.get("requestBody", {}).get("content", {})
        for media, content in body.items():
            texts.append(f"Body (`{media}`): {self._shown(tag, content.get('schema', {}))}\n")
        texts.append(f"```sh\n{curl(method, path, operation, self._schemas)}\n```\n")
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                texts.append(self._answer(tag, status, answer))
        statuses = ", ".join(sorted(status for status in operation["responses"] if status[0] in "345"))
        texts.append(f"Also: {statuses} ([error codes](../error-codes.md)).\n" if statuses else "")
        return "\n".join(text for text in texts if text)

    def _need(self, method: str, path: str) -> str:
        need = self._needs.get((method, path))
        if need is None:
            return ""
        texts = ["no key" if need.is_open else f"`{need.permission.value}`" if need.permission else "any valid key"]
        if need.rate is not None:
            texts.append(f"rate limit `{need.rate.value}`")
        return f"Needs {', '.join(texts)}.\n"

    def _answer(self, tag: str, status: str, answer: Mapping[str, Any]) -> str:
        texts = []
        for media, content in answer.get("content", {}).items():
            schema = content.get("schema", {})
            name = _name(schema)
            if name and _is_envelope(self._schemas[name]):
                shown = f"`data` is {self._shown(tag, self._schemas[name]['properties']['data'])}"
            else:
                shown = self._shown(tag, schema)
            texts.append(f"Answer {status} (`{media}`): {shown}\n")
            for example in _examples(content):
                texts.append(f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n")
        headers = answer.get("headers", {})
        if headers:
            rows = ((f"`{name}`", _text(self._resolve(header))) for name, header in headers.items())
            texts.append(table(("header", "meaning"), rows))
        return "\n".join(texts) or f"Answer {status}: {answer['description']}\n"

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a reference leads to."""
        found: Any = self._document if "$ref" in node else node
        for part in node.get("$ref", "").split("/")[1:]:
            found = found[part]
        return cast(Mapping[str, Any], found)

    def _type(self, tag: str, name: str) -> str:
        schema = self._schemas[name]
        texts = [f"### {name} {{#{slug(name)}}}\n", schema.get("description", "") + "\n"]
        notes = comments(self._classes[name]) if name in self._classes else {}
        if "enum" in schema:
            shown = [(value, notes.get(_member(self._classes.get(name), value))) for value in schema["enum"]]
            if any(text for _, text in shown):
                rows = [(f"`{value}`", text or str(value).replace("_", " ")) for value, text in shown]
                texts.append(table(("value", "meaning"), rows))
            else:
                texts.append("One of " + ", ".join(f"`{value}`" for value, _ in shown) + ".\n")
        required = schema.get("required", ()) if schema.get("additionalProperties") is False else ()
        rows = [
            (
                f"`{key}`, required" if key in required else f"`{key}`",
                self._shown(tag, each),
                _text(each) or notes.get(key) or _usual(key, schema),
            )
            for key, each in schema.get("properties", {}).items()
        ]
        if rows:
            texts.append(table(("field", "type", "meaning"), rows))
        return "\n".join(texts)

    def _shown(self, tag: str, schema: Mapping[str, Any]) -> str:
        """Return the type of a schema, with links to named types."""
        name = _name(schema)
        if name is not None:
            home = self._homes.get(name)
            if home is None:
                return name
            return f"[{name}]({'' if home == tag else slug(home) + '.md'}#{slug(name)})"
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema and "type" not in schema:
                return " or ".join(dict.fromkeys(self._shown(tag, each) for each in schema[key]))
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if schema.get("type") == "array":
            return f"list of {self._shown(tag, schema.get('items', {}))}"
        kind = schema.get("type", "any value")
        kind = schema.get("format", kind) if kind == "string" else kind
        bounds = [f"{text} {schema[key]}" for key, text in
                  {"minimum": "from", "maximum": "to", "maxLength": "at most"}.items() if key in schema]  # fmt: skip
        default = [f"default `{schema['default']}`"] if "default" in schema else []
        return " ".join([str(kind), *bounds, *default])


def curl(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return a command that calls an operation, with the example body of the document."""
    needed = [each for each in operation.get("parameters", ()) if each.get("required") and each["in"] == "query"]
    query = "&".join(f"{each['name']}={_sample(each)}" for each in needed)
    path = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), path)
    address = f"http://127.0.0.1:8080{path}" + (f"?{query}" if query else "")
    parts = ["curl", "-s", *(() if method == "GET" else ("-X", method)), address]
    content = operation.get("requestBody", {}).get("content", {})
    answers = [
        media for status, each in operation["responses"].items() if status == "200" for media in each.get("content", ())
    ]
    if answers and not any("json" in media or media.startswith("text/") for media in answers):
        parts += ["--output", "FILE"]
    for media, shape in content.items():
        example = next(iter(_examples(shape)), None)
        if example is None:
            example = schemas.get(_name(shape.get("schema", {})) or "", {}).get("example")
        if media == "application/json":
            parts += ["-H", "Content-Type: application/json", "-d", json.dumps(example or {}, ensure_ascii=False)]
        elif media == "multipart/form-data":
            parts += ["-F", "file=@FILE"]
        else:
            parts += ["-H", f"Content-Type: {media}", "--data-binary", "@FILE"]
        break
    return " ".join(shlex.quote(part) if re.search(r"[\s\"'&?{}]", part) else part for part in parts)


def _sample(parameter: Mapping[str, Any]) -> str:
    return str(parameter.get("example", parameter["name"].upper()))


def _examples(content: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in content:
        yield content["example"]
    for each in content.get("examples", {}).values():
        if "value" in each:
            yield each["value"]


def _text(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description") or schema.get("schema", {}).get("description") or "")


def _usual(field_name: str, schema: Mapping[str, Any]) -> str:
    """Return what a field of this name means in every type, or nothing."""
    properties = schema["properties"]
    if "pagination" in properties and properties[field_name].get("type") == "array":
        return "the entries of this page"
    thing = field_name.removesuffix("_id")
    return _USUAL.get(field_name, "" if thing == field_name else f"id of the {thing.replace('_', ' ')}")


def _part(path: str, name: str) -> str:
    """Return what a part of an address means, or nothing if it is none."""
    start, found, _ = path.partition(f"{{{name}}}")
    meanings = (text for end, text in _PATH_PARTS.items() if (start + found).endswith(end))
    return next(meanings, _USUAL.get(name) or f"id of the {name.removesuffix('_id')}" if found else "")


def _name(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        name = _name(schema)
        if name is not None and "/schemas/" in schema["$ref"]:
            yield name
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _is_envelope(schema: Mapping[str, Any]) -> bool:
    return set(schema.get("properties", {})) == {"code", "message", "data", "timestamp"}


def _member(kind: type | None, value: object) -> str:
    if kind is None or not issubclass(kind, StrEnum):
        return ""
    return next((each.name for each in kind if each.value == value), "")


def _braced(operation: Operation) -> tuple[str, str]:
    return operation.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.pattern)


def render() -> Reference:
    """Return everything."""
    reference = Reference()
    with TemporaryDirectory() as storage:
        runtime = Runtime(Config(gpu_source="simulated", storage_root=Path(storage)))
        app = create_app(runtime.services)
        document = json.loads(json.dumps(app.spec))
        scraped = app.test_client().get("/metrics").text
    add_settings(reference)
    add_commands(reference)
    add_errors(reference)
    add_events(reference, document)
    add_rules(reference)
    add_xids(reference)
    add_metrics(reference, scraped)
    add_permissions(reference)
    HTTPPages(reference, document).add()
    return reference


if __name__ == "__main__":
    # The help of the commands names the program and fits into this width.
    sys.argv[0], os.environ["COLUMNS"] = "__main__.py", "100"
    print(json.dumps(vars(render())))
