"""Exchange messages between the servers of one database, by Redis.

While Redis is unavailable, each server has only its own messages.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import orjson
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from api.domain.tasks.training import TaskStatus
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from api.util.periodic import PeriodicThread
from api.util.text.ids import is_safe_id

logger = logging.getLogger(__name__)

#: Types that other servers cannot read from the database. New events are only announced.
FORWARDED_TYPES = frozenset({MessageType.PROGRESS, MessageType.METRICS, MessageType.SYSTEM})

#: Maximum number of messages that wait to be sent. Above it, the oldest are dropped and counted.
CAPACITY = 1_000

#: Size in bytes of the largest valid message.
LONGEST_MESSAGE = 2**20

#: Seconds for one call, between two attempts, and between two checks whether to stop.
CALL_SECONDS = 2.0
RETRY_SECONDS = 1.0
WAIT_SECONDS = 0.5

#: Seconds without traffic after which the connection is tested.
PING_SECONDS = 5


class RedisLink:
    """Two threads: one sends, one listens. Only they wait for Redis. `publish` returns immediately and never fails."""

    def __init__(self, url: str, channel: str, broker: Broker, on_events: Callable[[], None]) -> None:
        """Create the link.

        `on_events` is called when another server has new events. Raises ValueError for an invalid URL.
        """
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            health_check_interval=PING_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._channel = channel
        self._broker = broker
        self._on_events = on_events
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._pubsub: PubSub | None = None
        self._is_failing = False
        self._is_ending = False
        self._retry_at = float("-inf")
        self.lost = 0  #: number of messages that other servers did not receive
        self.received = 0
        self.refused = 0  #: number of received packets that were invalid
        self._sender = PeriodicThread("redis-out", RETRY_SECONDS, self.send)
        self._listener = PeriodicThread("redis-in", 0.05, self.listen)

    @property
    def is_listening(self) -> bool:
        """Whether messages of other servers are received."""
        return self._pubsub is not None

    def start(self) -> None:
        """Start the threads that send and listen."""
        self._sender.start()
        self._listener.start()

    def stop(self) -> None:
        """Stop both threads."""
        self._is_ending = True
        self._sender.stop()
        self._listener.stop()
        self._drop_connection()
        self._client.close()

    # -- sending ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Pass a message to the subscribers of this process, and to the other servers."""
        self._broker.publish(message)
        if message.type in FORWARDED_TYPES:
            self._enqueue(_encode(self._broker.boot, message))

    def retain_progress(self, task_ids: Collection[str]) -> None:
        """Forget the progress of all other tasks, in this process only."""
        self._broker.retain_progress(task_ids)

    def announce_events(self) -> None:
        """Notify the other servers that the database has new events of tasks."""
        self._enqueue(orjson.dumps({"from": self._broker.boot}))

    def _enqueue(self, packet: bytes) -> None:
        with self._lock:
            self._waiting.append(packet)
            if len(self._waiting) > CAPACITY:
                self._waiting.popleft()
                self.lost += 1
        self._sender.trigger()

    def send(self) -> None:
        """Send the queued messages. Those that cannot be sent are dropped, since they would be outdated later."""
        while (packet := self._next()) is not None:
            try:
                self._client.publish(self._channel, packet)
            except RedisError as error:
                with self._lock:
                    self.lost += 1 + len(self._waiting)
                    self._waiting.clear()
                self._note_failure(error)
                return

    def _next(self) -> bytes | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self._is_ending else None

    # -- listening -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Receive messages until none arrives for a moment."""
        if time.monotonic() < self._retry_at:
            return
        try:
            pubsub = self._pubsub or self._subscribe()
            while not self._is_ending:
                packet = pubsub.get_message(ignore_subscribe_messages=True, timeout=WAIT_SECONDS)
                if packet is None:
                    return
                if packet["type"] == "message":  # not the answer to a ping
                    self.receive(packet["data"])
        except RedisError as error:
            self._drop_connection()
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._note_failure(error)

    def _subscribe(self) -> PubSub:
        pubsub: PubSub = self._client.pubsub()  # type: ignore[no-untyped-call]
        try:
            pubsub.subscribe(self._channel)  # type: ignore[no-untyped-call]
            pubsub.ping()
        except RedisError:
            pubsub.close()
            raise
        self._pubsub = pubsub
        # Announcements during the interruption were missed.
        self._on_events()
        if self._is_failing:
            self._is_failing = False
            logger.info("Redis is available again")
        return pubsub

    def _drop_connection(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                pubsub.close()

    def receive(self, packet: bytes) -> None:
        """Pass on the message of a packet, unless it is from this process or invalid."""
        try:
            found = _decode(packet)
        except (ValueError, TypeError, KeyError):
            self.refused += 1
            return
        sender, message = found
        if sender == self._broker.boot:
            return
        self.received += 1
        if message is None:
            self._on_events()
        else:
            self._broker.publish(message)

    def _note_failure(self, error: RedisError) -> None:
        with self._lock:  # both threads may see the same failure at the same time
            was_failing, self._is_failing = self._is_failing, True
        if not was_failing:
            problem = str(error) or type(error).__name__
            logger.warning("Redis is unavailable: live messages stay in this process", extra={"problem": problem})


def _encode(boot: str, message: Message) -> bytes:
    shown: dict[str, Any] = {
        "from": boot,
        "topic": message.topic,
        "type": message.type,
        "task_id": message.task_id,
        "status": message.status,
        "is_detail": message.is_detail,
        "owner": message.owner,
        "restricted": None if message.restricted is None else orjson.Fragment(message.restricted),
        "message": orjson.Fragment(message.json),
    }
    return orjson.dumps(shown)


def _decode(packet: bytes) -> tuple[str, Message | None]:
    """Return the sender and the message; None announces new events. Raises ValueError, TypeError or KeyError."""
    if len(packet) > LONGEST_MESSAGE:
        raise ValueError("too long")
    found = orjson.loads(packet)
    sender = str(found["from"])
    if "type" not in found:
        return sender, None
    type_, task_id, content = MessageType(found["type"]), found["task_id"], found["message"]
    if type_ not in FORWARDED_TYPES or content["type"] != type_ or not isinstance(content["data"], dict):
        raise ValueError("not a forwarded type")
    if task_id is not None and not is_safe_id(task_id):
        raise ValueError("invalid task id")
    # Without an owner from its server, users who may not see everything do not receive the message.
    owner, restricted = found.get("owner"), found.get("restricted")
    return sender, Message(
        Topic(found["topic"]),
        type_,
        orjson.dumps(content),
        task_id=task_id,
        status=None if found["status"] is None else TaskStatus(found["status"]),
        is_detail=bool(found["is_detail"]),
        owner=None if owner is None else str(owner),
        restricted=None if restricted is None else orjson.dumps(restricted),
    )
