"""The servers that share the database: the heartbeat of this one, and the states of the others."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from api.domain.machines.node import NodeStatus
from api.errors import ServiceError
from api.nodes.server_identity import ServerIdentity, process_of
from api.nodes.server_models import ServerInfo, StoredServer
from api.nodes.server_store import ServerStore
from api.util.clock import Clock, SteadyMark
from api.util.copying import copy_fields
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats, and seconds after which a silent server is unknown.
SIGN_SECONDS = 10.0
SILENT_SECONDS = 35.0

#: The time after which a silent server is removed.
FORGOTTEN_AFTER = timedelta(days=1)

#: The lead of the wall clock over the steady time that is logged.
FAR_AHEAD = timedelta(hours=1)

#: The names of leadership scopes in answers, by the prefix of the scope.
_LEADS = {"queue": "queue", "attempts ": "attempts", "alerts of ": "machine_alerts", "alerts": "alerts"}


@dataclass(frozen=True, slots=True)
class _Sign:
    server: StoredServer
    at: float  #: when it came, as far as known, monotonic


class ServerList(LoopOwner):
    """The servers on this database. One thread calls `sign`; the rest is thread-safe."""

    def __init__(self, store: ServerStore, identity: ServerIdentity, own: StoredServer, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._own = own
        self._clock = clock
        self._signs: Mapping[str, _Sign] = {}
        self._has_started = False
        self._is_blind = False
        self._is_ahead = False
        self._thread = PeriodicThread("servers", SIGN_SECONDS, self._sign_again)

    def stop(self) -> None:
        """Stop the heartbeat and remove this server from the database."""
        self._thread.stop()
        try:
            with wait_limit(READ_SECONDS):
                self._store.remove(self._own.server_id)
        except ServiceError as error:
            logger.info("this server cannot be removed from the list of servers", extra={"problem": str(error)})

    def _sign_again(self) -> None:
        try:
            self.sign()
        except ServiceError as error:
            # Logged once, because a database may be unavailable for days.
            if not self._is_blind:
                logger.warning("the heartbeat of this server cannot be stored", extra={"problem": str(error)})
            self._is_blind = True
        else:
            self._is_blind = False

    def sign(self) -> None:
        """Store a heartbeat, and read those of the others. Raises DatabaseUnavailable."""
        now = self._clock.now()
        self._own = replace(self._own, last_seen=now)
        with wait_limit(READ_SECONDS):
            self._store.sign(self._own, self._steady())
            if not self._has_started:
                self._store.remove_silent(self._clock.steady.now() - FORGOTTEN_AFTER)
                self._has_started = True
            self._read_heartbeats()

    def _steady(self) -> SteadyMark:
        """Read the steady time, and log when the wall clock gets ahead of it or agrees again."""
        steady = self._clock.steady.read()
        ahead = self._clock.steady.behind()
        if ahead > FAR_AHEAD and not self._is_ahead:
            self._is_ahead = True
            logger.warning(
                "the wall clock is ahead of the time that has certainly passed: the machine was off, or its clock was "
                "set. Nothing is removed early because of that. Check the clock",
                extra={"hours": round(ahead.total_seconds() / 3600, 1)},
            )
        elif ahead < FAR_AHEAD / 2 and self._is_ahead:
            self._is_ahead = False
            logger.info("the wall clock agrees again with the time that has certainly passed")
        return steady

    def list(self) -> tuple[ServerInfo, ...]:
        """Return every server, oldest first. Raises DatabaseUnavailable."""
        signs, leaders = self._read_heartbeats(), self._store.leaders()
        leads = defaultdict[str, list[str]](list)
        for scope, holder in sorted(leaders.items()):
            name = next((name for prefix, name in _LEADS.items() if scope.startswith(prefix)), scope)
            leads[process_of(holder)].append(name)
        return tuple(self._show(sign, leads[sign.server.process]) for sign in signs.values())

    def _read_heartbeats(self) -> Mapping[str, _Sign]:
        """Read the heartbeats. Clocks of two machines are compared only when a server is first seen."""
        monotonic, now, before = self._clock.monotonic(), self._clock.now(), self._signs
        found: dict[str, _Sign] = {}
        for server in self._store.list():
            known = before.get(server.server_id)
            if known is None:
                at = monotonic - max(0.0, (now - server.last_seen).total_seconds())
            else:
                at = known.at if known.server.last_seen == server.last_seen else monotonic
            found[server.server_id] = _Sign(server, at)
        # This server is listed even without its row.
        found.setdefault(self._own.server_id, _Sign(self._own, monotonic))
        self._signs = found
        return found

    def _show(self, sign: _Sign, leads: Sequence[str]) -> ServerInfo:
        server, silent = sign.server, self._clock.monotonic() - sign.at
        is_own = server.server_id == self._own.server_id
        state = NodeStatus.UP
        if not is_own and silent > SILENT_SECONDS:
            state = NodeStatus.UNKNOWN
        if not is_own and self._identity.knows_ended(server.process):
            state = NodeStatus.DOWN
        return copy_fields(
            ServerInfo,
            server,
            state=state,
            is_this_server=is_own,
            leads=tuple(leads) if state is NodeStatus.UP else (),
            silent_seconds=0.0 if is_own else round(silent, 1),
        )


def server_id_of(process: str) -> str:
    """Return a short id of a server process."""
    return hashlib.sha256(process.encode()).hexdigest()[:16]
