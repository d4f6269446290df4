"""The live streams, as the OpenAPI document describes them."""

from typing import Any

from api.util.base_path import BASE_PATH

_CLOSING = "{reason}; with code where access has ended"

_GPU: dict[str, Any] = {
    "query": {"node": "only the GPUs of this machine"},
    "messages": {"snapshot": "GPUStatusAnswer.data", "closing": _CLOSING},
    "id": "the number of the snapshot",
}

_EVENTS: dict[str, Any] = {
    "query": {
        "topics": "gpu, task, system, by comma: these by default; and alert",
        "last_event_id": "as Last-Event-ID",
    },
    "messages": {
        "snapshot": "GPUStatusAnswer.data",
        "status": "{task_id, status, event: TaskEvent}",
        "progress": "TrainingProgressAnswer.data",
        "system": "{level, message}",
        "alert": "{alert: AlertView, change: AlertHistoryRow}",
        "reset": "null: the id that the client came back with is not known; the present state follows",
        "closing": _CLOSING,
    },
    "id": "<boot>-<number>",
}

_TASK: dict[str, Any] = {
    "query": {
        "types": "progress, metrics, status, log, by comma; all by default",
        "offset": "the byte of the log to begin at",
        "tail": "or so many lines before its end; 100 by default",
        "last_event_id": "as Last-Event-ID",
    },
    "messages": {
        "status": "{task_id, status, event: TaskEvent}",
        "progress": "TrainingProgressAnswer.data",
        "metrics": "{task_id, points: [{metric, step, epoch, value, timestamp}]}",
        "log": "{task_id, logs: [LogLine], next_offset}",
        "partial": "{task_id, line: LogLine}",
        "dropped": "{task_id, from, to, bytes, lines}",
        "end": "{task_id, status, failure, exit_code, next_offset}",
        "reset": "null: the id that the client came back with is not known",
        "closing": _CLOSING,
    },
    "id": "<event id>:<byte offset>",
}

_LOG: dict[str, Any] = {
    "query": {
        "offset": "the byte to begin at",
        "tail": "or so many lines before the end; 100 by default",
        "level": "debug, info, warning or error: this level and what matters more",
        "type": "train, eval, system or all",
    },
    "messages": {
        "log": "{task_id, logs: [LogLine], next_offset}",
        "partial": "{task_id, line: LogLine}",
        "dropped": "{task_id, from, to, bytes, lines}",
        "closing": _CLOSING,
    },
    "id": "the byte offset to go on from",
}

_ALERTS: dict[str, Any] = {
    "query": {"last_event_id": "as Last-Event-ID"},
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

#: The description of each stream, by path. Only `end` and `closing` are Server-Sent Events with a name. A client comes
#: back with the id as Last-Event-ID; a WebSocket has it as a field of the message.
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

_TICKET = {"ticket": "of POST /auth/ticket, in place of a key: for clients that can send no header"}

STREAMS = {path: {**stream, "query": {**stream.get("query", {}), **_TICKET}} for path, stream in _STREAMS.items()}
