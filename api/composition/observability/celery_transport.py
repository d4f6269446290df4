"""Celery over Redis as the transport of deliveries: the publisher, and the worker."""

from collections.abc import Callable
from typing import Any

from api.alerts.delivery.worker_senders import TransportDown
from api.util.text.ids import is_safe_id

#: The names of the queue and the task, as in the messages.
QUEUE, TASK = "deliveries", "alerts.deliver"

#: Seconds for connecting to the broker and for each of its responses.
CONNECT_SECONDS, ANSWER_SECONDS = 2, 5

#: Seconds after which an unacknowledged message is delivered to another worker. Longer than any attempt. The lease of
#: the delivery's row decides, so a duplicate message has no effect.
VISIBILITY_SECONDS = 300

#: Concurrent deliveries of one worker.
AT_A_TIME = 4


def create_app(broker_url: str) -> Any:
    """Create the Celery application. It connects to nothing."""
    # Celery is optional.
    from celery import Celery  # noqa: PLC0415

    app = Celery("diffusion-pipe-api", set_as_current=False)
    app.conf.update(
        # Both, because for `broker_url` Celery itself would read CELERY_BROKER_URL, in another format.
        broker_read_url=_as_kombu_has_it(broker_url),
        broker_write_url=_as_kombu_has_it(broker_url),
        # No results to store or leak, no pickle, and no remote control through the broker.
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
        # A publisher never waits for an unavailable broker.
        task_publish_retry=False,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue=QUEUE,
        worker_hijack_root_logger=False,
    )
    return app


def _as_kombu_has_it(url: str) -> str:
    """Return the address in kombu's form: it writes the address of a Unix socket differently from redis-py."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}?virtual_host={query.rpartition('db=')[2] or 0}"


class CeleryTransport:
    """Publishes deliveries through Celery."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._app: Any = None

    def publish(self, delivery_id: str) -> None:
        """Queue a delivery for a worker. Raises TransportDown."""
        if self._app is None:
            self._app = create_app(self._url)
        try:
            self._app.send_task(TASK, args=[delivery_id], queue=QUEUE, retry=False, ignore_result=True)
        except Exception as error:
            # Errors of kombu, redis or the system: the broker did not accept the message.
            raise TransportDown from error


def run_worker(broker_url: str, deliver: Callable[[str], object], log_level: str) -> int:
    """Run a worker until it is stopped and return its exit code. `deliver` makes one attempt."""
    app = create_app(broker_url)

    def take(delivery_id: object) -> None:
        # Any client of the broker can publish any value.
        if isinstance(delivery_id, str) and is_safe_id(delivery_id):
            deliver(delivery_id)

    app.task(name=TASK, ignore_result=True)(take)
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["-P", "threads", "-c", str(AT_A_TIME)]
    code = app.worker_main(["worker", "-Q", QUEUE, *pool, "-l", log_level, *options])
    return int(code or 0)
