"""The description of the live streams for the OpenAPI document."""

from typing import Any

from api.util.http.base_path import BASE_PATH

_CLOSING = "{reason}, and code if access has ended"

_GPU: dict[str, Any] = {
    "query": {"node": "only the GPUs of this machine"},
    "messages": {"snapshot": "GPUStatusAnswer.data", "closing": _CLOSING},
    "id": "the number of the snapshot",
}

_EVENTS: dict[str, Any] = {
    "query": {
        "topics": "gpu, task, system and alert, separated by commas; by default all but alert",
        "last_event_id": "the same as Last-Event-ID",
    },
    "messages": {
        "snapshot": "GPUStatusAnswer.data",
        "status": "{task_id, status, event: TaskEvent}",
        "progress": "TrainingProgressAnswer.data",
        "system": "{level, message}",
        "alert": "{alert: AlertView, change: AlertHistoryRow}",
        "reset": "null: the client's last event id is unknown; the current state follows",
        "closing": _CLOSING,
    },
    "id": "<boot>-<number>",
}

_TASK: dict[str, Any] = {
    "query": {
        "types": "progress, metrics, status and log, separated by commas; all by default",
        "offset": "byte of the log at which to start",
        "tail": "number of lines before the end at which to start, instead of offset; 100 by default",
        "last_event_id": "the same as Last-Event-ID",
    },
    "messages": {
        "status": "{task_id, status, event: TaskEvent}",
        "progress": "TrainingProgressAnswer.data",
        "metrics": "{task_id, points: [{metric, step, epoch, value, timestamp}]}",
        "log": "{task_id, logs: [LogLine], next_offset}",
        "partial": "{task_id, line: LogLine}",
        "dropped": "{task_id, from, to, bytes, lines}",
        "end": "{task_id, status, failure, exit_code, next_offset}",
        "reset": "null: the client's last event id is unknown",
        "closing": _CLOSING,
    },
    "id": "<event id>:<byte offset>",
}

_LOG: dict[str, Any] = {
    "query": {
        "offset": "byte at which to start",
        "tail": "number of lines before the end at which to start, instead of offset; 100 by default",
        "level": "debug, info, warning or error: this level and more severe ones",
        "type": "train, eval, system or all",
    },
    "messages": {
        "log": "{task_id, logs: [LogLine], next_offset}",
        "partial": "{task_id, line: LogLine}",
        "dropped": "{task_id, from, to, bytes, lines}",
        "closing": _CLOSING,
    },
    "id": "the byte offset at which to continue",
}

_ALERTS: dict[str, Any] = {
    "query": {"last_event_id": "the same as Last-Event-ID"},
    "messages": {
        "alert": "{alert: AlertView, change: AlertHistoryRow}",
        "reset": "null: the id that the client came back with is not known; read GET /alerts again",
        "closing": _CLOSING,
    },
    "id": "<boot>-<number>",
}

_END = {"end": "{task_id, status, failure, exit_code, next_offset}"}
_SSE = {"transport": "sse", "content": "text/event-stream"}
_SOCKET = {"transport": "websocket"}

#: The description of each stream by path. Only `end` and `closing` are named Server-Sent Events. A reconnecting client
#: sends the id as Last-Event-ID; a WebSocket message contains it as a field.
_STREAMS: dict[str, dict[str, Any]] = {
    f"{BASE_PATH}/gpu/stream": {**_SSE, **_GPU},
    f"{BASE_PATH}/ws/gpu": {**_SOCKET, **_GPU},
    f"{BASE_PATH}/events/stream": {**_SSE, **_EVENTS},
    f"{BASE_PATH}/ws/events": {**_SOCKET, **_EVENTS},
    f"{BASE_PATH}/training/{{task_id}}/events/stream": {**_SSE, **_TASK},
    f"{BASE_PATH}/ws/training/{{task_id}}": {**_SOCKET, **_TASK},
    f"{BASE_PATH}/training/{{task_id}}/logs/stream": {**_SSE, **_LOG, "messages": {**_LOG["messages"], **_END}},
    f"{BASE_PATH}/preprocess/{{task_id}}/events/stream": {**_SSE, **_TASK},
    f"{BASE_PATH}/preprocess/{{task_id}}/logs/stream": {**_SSE, **_LOG, "messages": {**_LOG["messages"], **_END}},
    f"{BASE_PATH}/system/logs/stream": {**_SSE, **_LOG},
    f"{BASE_PATH}/alerts/stream": {**_SSE, **_ALERTS},
}

_TICKET = {"ticket": "a ticket from POST /auth/ticket instead of a key, for clients that cannot send headers"}

STREAMS = {path: {**stream, "query": {**stream.get("query", {}), **_TICKET}} for path, stream in _STREAMS.items()}
