"""The histograms of this process."""

from api.util.histogram import LONG, SHORT, Histogram
from api.util.ids import current_request_id
from api.util.tracing import note_span

#: The names in exemplars for a request's id, which is in the log, and for a task's id.
REQUEST_ID = "request_id"
TASK_ID = "task_id"

loop_rounds = Histogram(
    "diffusion_pipe_loop_round_duration_seconds",
    "Duration of a round of a loop, by kind of loop.",
    ("loop",),
    SHORT,
)
transactions = Histogram(
    "diffusion_pipe_database_transaction_duration_seconds",
    "Duration of a transaction, including the wait for its start.",
    ("mode",),
    SHORT,
)
queue_waits = Histogram(
    "diffusion_pipe_queue_wait_seconds",
    "Time for which tasks had waited when their resources became available.",
    ("task_type",),
    LONG,
)
starts = Histogram(
    "diffusion_pipe_start_to_running_seconds",
    "Time from the response to the request that created a task until its trainer first ran.",
    ("task_type",),
    LONG,
)
attempt_starts = Histogram(
    "diffusion_pipe_attempt_start_duration_seconds",
    "Time from an attempt's claim of its GPUs until its trainer ran.",
    ("task_type",),
    LONG,
)
delivery_lags = Histogram(
    "diffusion_pipe_alert_delivery_lag_seconds",
    "Time from the creation of an alert's message to its delivery by this process.",
    ("channel_kind",),
    LONG,
)

ALL = (loop_rounds, transactions, queue_waits, starts, attempt_starts, delivery_lags)


def note_transaction(mode: str, seconds: float) -> None:
    """Record the duration of a transaction, with the current request as its example."""
    request_id = current_request_id.get()
    transactions.observe(seconds, (mode,), (REQUEST_ID, request_id) if request_id else None)
    note_span(f"database {mode}", seconds, {"db.operation.name": mode})
