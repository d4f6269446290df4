"""Carries messages between the servers of one database, by Redis. While that is away, each server has only its own."""

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

from api.domain.training import TaskStatus
from api.streaming.broker import Broker
from api.streaming.models import Message, MessageType, Topic
from api.util.ids import is_safe_id
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Types that others cannot read from the database. Of new events they are only told that there are some.
CARRIED = frozenset({MessageType.PROGRESS, MessageType.METRICS, MessageType.SYSTEM})

#: The most messages that wait to be sent; of more the oldest are lost, and counted.
CAPACITY = 1_000

#: Bytes of the largest message that can be one of ours.
LONGEST_MESSAGE = 2**20

#: Seconds that a call may take, between two tries, and between two looks whether to end.
CALL_SECONDS = 2.0
RETRY_SECONDS = 1.0
WAIT_SECONDS = 0.5

#: Seconds of silence after which the connection is tried.
PING_SECONDS = 5


class RedisLink:
    """Two threads, which alone wait for Redis: one sends, one listens. `publish` returns at once and never fails."""

    def __init__(self, url: str, channel: str, broker: Broker, on_events: Callable[[], None]) -> None:
        """`on_events` is called when another server has new events of tasks. Raises ValueError for a bad URL."""
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
        self.lost = 0  #: how many messages others did not get
        self.received = 0
        self.refused = 0  #: how many received packets were none of ours
        self._sender = PeriodicThread("redis-out", RETRY_SECONDS, self.send)
        self._listener = PeriodicThread("redis-in", 0.05, self.listen)

    @property
    def is_listening(self) -> bool:
        """Whether messages of other servers are received."""
        return self._pubsub is not None

    def start(self) -> None:
        """Starts the threads that send and listen."""
        self._sender.start()
        self._listener.start()

    def stop(self) -> None:
        """Stops both threads."""
        self._is_ending = True
        self._sender.stop()
        self._listener.stop()
        self._drop_connection()
        self._client.close()

    # -- sending ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Hands a message to the subscribers of this process, and to the other servers."""
        self._broker.publish(message)
        if message.type in CARRIED:
            self._enqueue(_encode(self._broker.boot, message))

    def keep_progress(self, task_ids: Collection[str]) -> None:
        """Forgets the progress of all other tasks, in this process only."""
        self._broker.keep_progress(task_ids)

    def announce_events(self) -> None:
        """Tells the other servers that the database has new events of tasks."""
        self._enqueue(orjson.dumps({"from": self._broker.boot}))

    def _enqueue(self, packet: bytes) -> None:
        with self._lock:
            self._waiting.append(packet)
            if len(self._waiting) > CAPACITY:
                self._waiting.popleft()
                self.lost += 1
        self._sender.trigger()

    def send(self) -> None:
        """Sends what waits. What cannot be sent is lost: late, it would be old."""
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
        """Takes what comes, until Redis is silent for a moment."""
        if time.monotonic() < self._retry_at:
            return
        try:
            pubsub = self._pubsub or self._subscribe()
            while not self._is_ending:
                packet = pubsub.get_message(ignore_subscribe_messages=True, timeout=WAIT_SECONDS)
                if packet is None:
                    return
                if packet["type"] == "message":  # and not the answer to a ping
                    self.take(packet["data"])
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
        # What was announced meanwhile was not heard.
        self._on_events()
        if self._is_failing:
            self._is_failing = False
            logger.info("Redis answers again")
        return pubsub

    def _drop_connection(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                pubsub.close()

    def take(self, packet: bytes) -> None:
        """Hands the message of a packet on, unless it is this process's own or none of ours."""
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
        with self._lock:  # the sender and the listener may meet the same failure at the same moment
            was_failing, self._is_failing = self._is_failing, True
        if not was_failing:
            why = str(error) or type(error).__name__
            logger.warning("Redis does not answer; live messages stay in this process", extra={"problem": why})


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
    """Who sent it, and the message; None tells of new events. Raises ValueError, TypeError or KeyError."""
    if len(packet) > LONGEST_MESSAGE:
        raise ValueError("too long")
    found = orjson.loads(packet)
    sender = str(found["from"])
    if "type" not in found:
        return sender, None
    type_, task_id, content = MessageType(found["type"]), found["task_id"], found["message"]
    if type_ not in CARRIED or content["type"] != type_ or not isinstance(content["data"], dict):
        raise ValueError("not carried")
    if task_id is not None and not is_safe_id(task_id):
        raise ValueError("no task")
    # Of a server that does not say whose it is, who may not see all gets nothing.
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
