"""Replaces values that differ between two runs of the same code by placeholders."""

import json
import re
from collections.abc import Mapping
from typing import Any

#: Keys of numbers that differ from run to run.
FIGURES = re.compile(
    r"timestamp|uptime|age|lag|time|seconds|start|durations?|longest_step|seconds_per_step|id|values?|offset|next_offset|end_offset|"
    r"last|lowest|lowest_step|searched_bytes|line_number|retry_after|log_lost_bytes|log_bytes|"
    r".*_seconds|.*_ms|.*port|.*percent|.*_time|.*_age|.*_at|.*_since.*|.*steady|.*loss"
)

#: Keys of values that may be null in one run only, or that are unpredictable.
ANYTHING = re.compile(
    r"eta.*|speed|.*_per_second|time_per_step|system_stats|estimated_start|estimated_duration|training_time.*|"
    r"load_average|silent_.*|noted_stage|throttle_reasons|fingerprint|mark|.*pids?|read_bytes|total_bytes|.*last_hash|key"
)

#: Placeholders for parts of texts, applied after ids are replaced.
WORDS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\b|\d{8}T\d{6}Z|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<time>"),
    (re.compile(r"\b(?:pid|process) \d+|\(\d[\d,]* bytes\)|\b\d+ rows\b|\b\d+:[0-9a-f]{64}\b"), "<n>"),
    (re.compile(r'(?<="logger":")[\w.]+'), "<module>"),
    (re.compile(r"events\.out\.tfevents\.[^\s\"/]+"), "<events>"),
    (re.compile(r"\d{8}_\d\d-\d\d-\d\d"), "<run>"),
    (re.compile(r"[0-9a-f]{2}/(?=<random)|(?<=-v1-)[0-9a-f]{8}(?=\.png)"), ""),
    (re.compile(r"\b(?:29|30)\d{3}\b|(?<=127\.0\.0\.1:)\d+"), "<port>"),
    (re.compile(r"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{43}(?![\w-])"), "<secret>"),
    (re.compile(r"\b[0-9a-f]{12}-[0-9a-f]+\b"), "<request>"),
    (re.compile(r"(?<=iter time \(s\): )[\d.]+ samples/sec: [\d.]+"), "<speed>"),
]

KEY = re.compile(r"(dp_[a-z0-9]{12})_[\w-]{43}")
TASK_ID = re.compile(r"\b([a-z]+)_\d{8}_[0-9a-z]{8}\b")


def field_of(value: Any, path: str) -> Any:
    """Return the value at a path such as `tasks.0.name` or `tasks.name:cats.status`, or None if it does not exist."""
    for part in path.split("."):
        key, _, wanted = part.partition(":")
        try:
            if wanted:
                value = next(each for each in value if str(each[key]).endswith(wanted))
            else:
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (IndexError, KeyError, StopIteration, TypeError, ValueError):
            return None
    return value


class Names:
    """Stable names for random ids, numbered in order of appearance."""

    def __init__(self, placeholders: Mapping[str, str]) -> None:
        self._known: dict[str, str] = {}
        self._placeholders = [
            (re.compile(rf"(?<!\w){re.escape(text)}(?!\w)"), name) for text, name in placeholders.items()
        ]
        self._loose: set[str] = set()

    def loosen(self, found: str) -> None:
        """Ignore numbers in responses about this id."""
        self._loose.add(found)

    def is_loose(self, path: str) -> bool:
        """Return whether numbers in responses of this path are ignored."""
        return any(each in path for each in self._loose)

    def name(self, kind: str, found: str) -> str:
        """Return the name of an id; assign one at its first appearance."""
        count = sum(name.startswith(f"<{kind} ") for name in self._known.values())
        return self._known.setdefault(found, f"<{kind} {count + 1}>")

    def learn(self, value: Any, key: str = "") -> None:
        """Name the ids in a JSON value."""
        if isinstance(value, dict):
            for inner in sorted(value):
                self.learn(value[inner], inner)
        elif isinstance(value, list):
            for each in value:
                self.learn(each, key)
        elif isinstance(value, str):
            is_key = key in ("key_id", "rotated_to") and re.fullmatch("[0-9a-z]{12}", value)
            is_id = key.endswith("_id") and key != "item_id" and re.fullmatch("[0-9a-f]{16}", value)
            if is_key or is_id or re.fullmatch("[0-9a-f]{32}", value):
                self.name(key.removesuffix("_id"), value)

    def text(self, text: str) -> str:
        """Return a text with placeholders."""
        for pattern, name in self._placeholders:
            text = pattern.sub(name, text)
        text = KEY.sub(r"\1_<secret>", text)
        text = TASK_ID.sub(lambda found: self.name(found[1], found[0]), text)
        for found, name in self._known.items():
            text = text.replace(found, name)
        for pattern, word in WORDS:
            text = pattern.sub(word, text)
        return text

    def json(self, value: Any, *, loose: bool = False) -> Any:
        """Return a JSON value with placeholders. `loose`: all numbers are replaced."""
        self.learn(value)
        return self._plain(value, "", loose)

    def _plain(self, value: Any, key: str, loose: bool) -> Any:
        if ANYTHING.fullmatch(key):
            return "<any>"
        if key == "entries":
            # The audit aggregates repeated entries, and the order of some entries varies.
            rows = ({k: v for k, v in each.items() if k not in ("hash", "id", "count")} for each in value)
            return sorted({json.dumps(self._plain(each, "", loose)) for each in rows})
        if isinstance(value, dict):
            return {self.text(k): self._plain(v, k, loose) for k, v in sorted(_without_luck(value).items())}
        if isinstance(value, list):
            return [self._plain(each, key, loose) for each in value if not _may_be_missed(each, loose)]
        if isinstance(value, str):
            text = self.text(value)
            return re.sub(r"\d+(\.\d+)?", "<n>", text) if loose and re.search(" |^global_step", text) else text
        is_figure = isinstance(value, int | float) and not isinstance(value, bool)
        return "<n>" if is_figure and (loose or FIGURES.fullmatch(key)) else value


def _without_luck(value: dict[str, Any]) -> dict[str, Any]:
    if str(value.get("message")).startswith("its process runs"):
        # The message contains the pid only if it is already known.
        return value | {"message": "its process runs", "message_code": None}
    if value.get("status") == "starting":
        return value | {"status": "running"}
    if "events" in value or "entries" in value:
        return value | {"pagination": None}
    return value


def _may_be_missed(value: Any, loose: bool) -> bool:
    """Return whether the service may miss this event: a stage, or a checkpoint that the script does not wait for."""
    if not isinstance(value, dict):
        return False
    event = field_of(value, "data.event") or value
    is_waited_for = event.get("current") == "global_step2" and not loose
    return event.get("type") == "stage" or (event.get("type") == "checkpoint" and not is_waited_for)
