"""Build the live streams."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import BeforeValidator

from api.access.authority import Authority
from api.alerts.stream import create_alerts_stream
from api.config import Config, ConfigError
from api.db.database import Database
from api.domain.access.principal import Permission, current_principal
from api.domain.access.read_scope import ReadScope, current_scope
from api.domain.machines.gpu_event import GPUEvent
from api.errors import Forbidden
from api.events.messages import system_message
from api.events.publisher import EventTail, MessageSink, TaskMessageSink, TaskPublisher
from api.events.stream import create_task_stream
from api.events.stream_reader import TaskStreamReader
from api.gpus.documents import GPUDocuments
from api.gpus.stream import UnchangedFilter, create_gpu_stream, snapshot_message
from api.logs.follower import LogFeeds
from api.logs.service import LogService
from api.logs.stream import create_log_stream, create_own_log_stream, follow_task_log
from api.streaming.addresses import LiveRoute, LiveRoutes, Opener, StreamRequest, Transport
from api.streaming.blocking_reads import BlockingReads
from api.streaming.broker import Broker, MissedMessages
from api.streaming.connections import Admission, StreamServer
from api.streaming.delivery import Frames
from api.streaming.frames import Frame, closing_frame, reset_frame
from api.streaming.models import StreamEnding, Topic
from api.streaming.permits import Permits
from api.streaming.query_parameters import StreamQuery, read_query, some_of
from api.streaming.subscription import Subscription, TooSlow
from api.training.attempts.watch.updates import NewsDesk
from api.training.records.attempt_store import AttemptStore
from api.training.records.event_store import EventStore
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers
from api.util.clock import Clock
from api.util.http.base_path import BASE_PATH

if TYPE_CHECKING:
    from api.streaming.redis_link import RedisLink


#: The topics that can be requested. Output is streamed per task.
TOPICS = (Topic.GPU, Topic.TASK, Topic.SYSTEM, Topic.ALERT)

#: The default topics. Alerts require a permission of their own.
_USUAL = (Topic.GPU, Topic.TASK, Topic.SYSTEM)


class EventsStreamQuery(StreamQuery):
    """The requested topics, and the position of the subscriber."""

    topics: Annotated[tuple[Topic, ...], BeforeValidator(some_of(TOPICS))] = _USUAL
    last_event_id: str | None = None


def create_events_stream(broker: Broker) -> Opener:
    """Return the function that opens this stream for one subscriber."""

    @asynccontextmanager
    async def open_stream(request: StreamRequest) -> AsyncIterator[Frames]:
        query = read_query(EventsStreamQuery, request.query)
        if Topic.ALERT in query.topics and not current_principal.get().may(Permission.ALERTS_READ):
            needed = Permission.ALERTS_READ
            raise Forbidden(f"Alerts need the permission {needed}.", data={"missing_permission": needed})
        last_id, scope = request.last_event_id or query.last_event_id or None, current_scope.get()
        with broker.subscribe(query.topics, keeps_latest_snapshot=True, scope=scope) as subscription:
            # Now, not when the first frame is requested, so that later messages count as new.
            yield _frames(subscription, broker.catch_up(query.topics, last_id, scope), broker.boot, scope)

    return open_stream


async def _frames(subscription: Subscription, missed: MissedMessages, boot: str, scope: ReadScope) -> Frames:
    unchanged = UnchangedFilter(scope.is_whole)
    yield unchanged.drop(_first(missed, f"{boot}-{missed.number}", scope))
    async for some in subscription.after(missed.number):
        yield unchanged.drop([published.frame(scope) for published in some])
    if subscription.ending is not None:
        yield [closing_frame(subscription.ending)]
    if subscription.ending is StreamEnding.TOO_SLOW:
        raise TooSlow


def _first(missed: MissedMessages, id_: str, scope: ReadScope) -> list[Frame]:
    shown = [published.frame(scope) for published in missed.messages]
    if missed.is_continued:
        return shown
    frames = [reset_frame()] if missed.is_reset else []
    frames += [Frame(each.type, each.json) for each in shown]
    if frames:
        # Only after the last frame does the client have the complete state, from which it can continue.
        frames[-1] = Frame(frames[-1].type, frames[-1].json, id_)
    return frames


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSources:
    """The sources of messages about tasks."""

    desk: NewsDesk
    progress: ProgressAnswers
    logs: LogService
    is_loop_here: Callable[[], bool]  #: whether this server runs the training loop


class Live:
    """The streams and their sources. The constructor starts nothing."""

    def __init__(
        self, config: Config, database: Database, sources: TaskSources, clock: Clock, authority: Authority
    ) -> None:
        """Raise ConfigError if REDIS_URL is invalid."""
        broker = self.broker = Broker()
        self._feeds = LogFeeds()
        self.admission = Admission(config.max_streams, config.max_streams_per_client)
        self._reads = BlockingReads()
        tasks, attempts, events = TaskStore(database), AttemptStore(database), EventStore(database)
        progress = sources.progress
        following = TaskStreamReader(tasks, attempts, events, progress, clock)
        self.link = None if not config.redis_url else _create_link(config.redis_url, database, broker, self._wake)
        self.news = TaskPublisher(
            sources.desk,
            EventTail(events, events.get),
            following,
            TaskMessageSink(self.link or broker, tasks, progress, authority.visibility),
            clock,
            has_progress_feed=lambda: sources.is_loop_here() or (self.link is not None and self.link.is_listening),
            count_dropped=broker.dropped.total,
        )
        database.on_append(self.news.wake)
        if self.link is not None:
            database.on_append(self.link.announce_events)
        self.routes = self._create_routes(following, sources.logs)
        permits = Permits(authority.ring.why_ended)
        authority.ring.subscribe(permits.recheck)
        self.serving = StreamServer(self.routes, broker, self.admission, permits)

    def _create_routes(self, following: TaskStreamReader, logs: LogService) -> LiveRoutes:
        broker, feeds, reads = self.broker, self._feeds, self._reads
        gpu = create_gpu_stream(broker)
        task = create_task_stream(broker, following, reads, follow_task_log(logs, feeds, reads))
        log = create_log_stream(logs, feeds, reads)
        own_log = create_own_log_stream(logs, feeds)
        everything = create_events_stream(broker)
        alerts = create_alerts_stream(broker)
        events, socket = Transport.EVENTS, Transport.WEB_SOCKET
        streams = (
            ("/gpu/stream", events, gpu),
            ("/ws/gpu", socket, gpu),
            ("/events/stream", events, everything),
            ("/ws/events", socket, everything),
            ("/training/<task_id>/events/stream", events, task),
            ("/ws/training/<task_id>", socket, task),
            ("/training/<task_id>/logs/stream", events, log),
            ("/preprocess/<task_id>/events/stream", events, task),
            ("/preprocess/<task_id>/logs/stream", events, log),
            ("/system/logs/stream", events, own_log),
            ("/alerts/stream", events, alerts),
        )
        return LiveRoutes([LiveRoute(f"{BASE_PATH}{path}", transport, open_) for path, transport, open_ in streams])

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self.admission.streams

    @property
    def outlet(self) -> MessageSink:
        """The outlet to which the services publish messages."""
        return self.link or self.broker

    def publish_snapshot(self, number: int, documents: GPUDocuments) -> None:
        """Publish a new state of the GPUs to the subscribers of this process."""
        message = snapshot_message(
            number,
            documents.message(),
            lambda scope: documents.seen_by(scope).message(),
            lambda scope, node: documents.seen_by(scope).of_node(node).message(),
        )
        self.broker.publish(message)

    def publish_source_event(self, event: GPUEvent) -> None:
        """Publish that the GPU driver has started to work, failed or disappeared."""
        facts = {"previous": event.previous, "current": event.current}
        self.outlet.publish(system_message(event.severity, event.message, event.timestamp, **facts))

    def _wake(self) -> None:
        self.news.wake()

    def start(self) -> None:
        """Start every loop."""
        self.news.start()
        if self.link is not None:
            self.link.start()

    def close_soon(self) -> None:
        """End every stream. Safe in a signal handler."""
        self.broker.close_soon()
        self._feeds.close_soon()

    def stop(self) -> None:
        """Stop every loop in reverse order."""
        if self.link is not None:
            self.link.stop()
        self.news.stop()
        self._feeds.stop()
        self._reads.stop()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the streams, for prometheus-client."""
        yield GaugeMetricFamily("diffusion_pipe_stream_subscribers", "Live streams.", value=self.admission.streams)
        yield CounterMetricFamily(
            "diffusion_pipe_stream_refused",
            "Streams refused because of limits.",
            value=self.admission.refused,
        )
        yield GaugeMetricFamily("diffusion_pipe_log_followers", "Log followers.", value=self._feeds.followers)
        by_topic = (
            ("diffusion_pipe_stream_messages", "Messages published.", self.broker.published),
            (
                "diffusion_pipe_stream_dropped",
                "Subscribers disconnected because they did not read.",
                self.broker.dropped,
            ),
            ("diffusion_pipe_stream_lost_messages", "Messages discarded with them.", self.broker.lost),
        )
        for name, text, counts in by_topic:
            metric = CounterMetricFamily(name, text, labels=["topic"])
            for topic in Topic:
                metric.add_metric([topic], counts[topic])
            yield metric
        if self.link is not None:
            yield from _redis_metrics(self.link)


def _redis_metrics(link: "RedisLink") -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "diffusion_pipe_redis_connected", "Whether messages of other servers arrive.", value=link.is_listening
    )
    yield CounterMetricFamily("diffusion_pipe_redis_received", "Messages of other servers.", value=link.received)
    yield CounterMetricFamily("diffusion_pipe_redis_lost", "Messages that could not be sent.", value=link.lost)
    yield CounterMetricFamily("diffusion_pipe_redis_refused", "Messages that were invalid.", value=link.refused)


def _create_link(url: str, database: Database, broker: Broker, on_events: Callable[[], None]) -> "RedisLink":
    # Redis is optional.
    from api.streaming.redis_link import RedisLink  # noqa: PLC0415

    # Servers with other databases may use the same Redis.
    channel = f"diffusion-pipe:live:{hashlib.blake2b(database.shown.encode(), digest_size=8).hexdigest()}"
    try:
        return RedisLink(url, channel, broker, on_events)
    except ValueError:
        # The library's message contains parts of the address, such as its password.
        raise ConfigError(
            "REDIS_URL is invalid: write it as redis://:password@host:6379/0, with %2F, %3A, %40 for the characters "
            "/ : @ in a name or password"
        ) from None
