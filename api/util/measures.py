"""What this process measures of itself, as histograms: one of each for a process, as its threads and clocks are."""

from api.util.histogram import LONG, SHORT, Histogram
from api.util.ids import current_request_id
from api.util.tracing import note_span

#: The name in exemplars by which a request is found in the log, and a task by its address.
REQUEST_ID = "request_id"
TASK_ID = "task_id"

loop_rounds = Histogram(
    "diffusion_pipe_loop_round_duration_seconds",
    "Time that a round of a loop took; the loops of one kind together.",
    ("loop",),
    SHORT,
)
transactions = Histogram(
    "diffusion_pipe_database_transaction_duration_seconds",
    "Time from asking for a transaction to its end, the wait for its turn included.",
    ("mode",),
    SHORT,
)
queue_waits = Histogram(
    "diffusion_pipe_queue_wait_seconds",
    "Time that tasks had waited when they were given what they wait for.",
    ("task_type",),
    LONG,
)
starts = Histogram(
    "diffusion_pipe_start_to_running_seconds",
    "Time from the answer to the request that made a task to its trainer running for the first time.",
    ("task_type",),
    LONG,
)
attempt_starts = Histogram(
    "diffusion_pipe_attempt_start_duration_seconds",
    "Time from an attempt's claim of its GPUs to its trainer running.",
    ("task_type",),
    LONG,
)
delivery_lags = Histogram(
    "diffusion_pipe_alert_delivery_lag_seconds",
    "Time from the making of an alert's message to its delivery, of those that this process sent.",
    ("channel_kind",),
    LONG,
)

ALL = (loop_rounds, transactions, queue_waits, starts, attempt_starts, delivery_lags)


def note_transaction(mode: str, seconds: float) -> None:
    """Counts a transaction; the request that it was for, if there is one, is its example."""
    request_id = current_request_id.get()
    transactions.observe(seconds, (mode,), (REQUEST_ID, request_id) if request_id else None)
    note_span(f"database {mode}", seconds, {"db.operation.name": mode})
