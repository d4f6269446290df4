"""Celery over Redis as the transport of deliveries: what is published, and the worker that takes it."""

from collections.abc import Callable
from typing import Any

from api.alerts.remote_carriers import TransportDown
from api.util.ids import is_safe_id

#: The queue and the task; both stand in the messages.
QUEUE, TASK = "deliveries", "alerts.deliver"

#: Seconds for connecting to the broker and for each of its answers.
CONNECT_SECONDS, ANSWER_SECONDS = 2, 5

#: Seconds after which a message that a worker has taken and not acknowledged is given to another one. Longer than any
#: attempt; the row's lease decides, so one that comes twice finds nothing to do.
VISIBILITY_SECONDS = 300

#: Messages that a worker sends at a time.
AT_A_TIME = 4


def create_app(broker_url: str) -> Any:
    """The Celery application. It connects to nothing."""
    # Celery is optional.
    from celery import Celery  # noqa: PLC0415

    app = Celery("diffusion-pipe-api", set_as_current=False)
    app.conf.update(
        # Both, since for `broker_url` Celery itself would read CELERY_BROKER_URL, and not as it is meant here.
        broker_read_url=_as_kombu_has_it(broker_url),
        broker_write_url=_as_kombu_has_it(broker_url),
        # Nothing to store, nothing to leak; no pickle, and nobody commands workers by the broker.
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_enable_remote_control=False,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
            "global_keyprefix": "dp:",
        },
        visibility_timeout=VISIBILITY_SECONDS,
        # A publisher never waits for a broker to come back.
        task_publish_retry=False,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue=QUEUE,
        worker_hijack_root_logger=False,
    )
    return app


def _as_kombu_has_it(url: str) -> str:
    """The address of a Redis by a socket is written in another way by redis-py, and so in the settings."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}?virtual_host={query.rpartition('db=')[2] or 0}"


class CeleryTransport:
    """Publishes by Celery."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._app: Any = None

    def publish(self, delivery_id: str) -> None:
        """Has a worker look at this delivery. Raises TransportDown."""
        if self._app is None:
            self._app = create_app(self._url)
        try:
            self._app.send_task(TASK, args=[delivery_id], queue=QUEUE, retry=False, ignore_result=True)
        except Exception as error:
            # Of kombu, redis or the system: each says that the broker did not take it.
            raise TransportDown from error


def run_worker(broker_url: str, deliver: Callable[[str], object], log_level: str) -> int:
    """Works until it is told to end; gives its exit code. `deliver` makes one attempt."""
    app = create_app(broker_url)

    def take(delivery_id: object) -> None:
        # Whoever can write to the broker can put anything there.
        if isinstance(delivery_id, str) and is_safe_id(delivery_id):
            deliver(delivery_id)

    app.task(name=TASK, ignore_result=True)(take)
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["-P", "threads", "-c", str(AT_A_TIME)]
    code = app.worker_main(["worker", "-Q", QUEUE, *pool, "-l", log_level, *options])
    return int(code or 0)
