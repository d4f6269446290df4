"""Reads the audit, and keeps what no transaction of its own keeps: refusals, and what is counted by the minute."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from api.access.audit_store import BATCH, AuditStore
from api.db.audit_chain import log
from api.domain.audit import SERVICE, AuditEntry, AuditFilter, AuditOutcome, AuditRow, ChainCheck, ChainVerdict
from api.domain.reason import code_of
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.pagination import MAX_LIMIT, Page, PageRequest, Pagination
from api.util.periodic import PeriodicThread
from api.web.operations import OperationTable

logger = logging.getLogger(__name__)

#: Seconds between two writes: what a crash can cost.
FLUSH_SECONDS = 1.0

#: Seconds within which the like of one another are counted instead of kept one by one.
COUNT_SECONDS = 60.0

#: Different refusals within that time: of one address, whose further ones are counted by their code only; and of all,
#: whose further ones are only counted. Each makes two rows at most.
MOST_OF_ADDRESS, MOST = 20, 300

#: Entries that wait for a database that is away; a refusal that finds no room is counted.
CAPACITY = 5000

#: Seconds between two looks for what is too old to be kept.
PRUNE_SECONDS = 3600.0

#: The operation of refusals that are not told apart any more.
VARIOUS = "various"

_Kind = tuple[str, str | None, str | None, str, str | None]


@dataclass(slots=True)
class _Counted:
    """The first of some entries that are alike, and how many followed within its minute."""

    first: AuditEntry
    ends_at: float
    more: int = 0
    latest: AuditEntry | None = None


class AuditTrail:
    """What happens to the audit besides the transactions that keep their own notes."""

    def __init__(
        self, store: AuditStore, clock: Clock, retention_days: int, operations: OperationTable | None = None
    ) -> None:
        """`retention_days` 0 keeps everything."""
        self._store = store
        self._clock = clock
        self._retention_days = retention_days
        self._names = tuple(operation.name for operation in (operations or OperationTable()).all)
        self._lock = threading.Lock()
        self._waiting: deque[AuditEntry] = deque()
        self._counted: dict[_Kind, _Counted] = {}
        self._addresses: Counter[str | None] = Counter()
        self._dropped = 0
        self._pruned_at = float("-inf")
        self._thread = PeriodicThread("audit", FLUSH_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to keep what comes in, and to remove what is too old."""
        self._thread.start()

    def stop(self) -> None:
        """Keeps what waits, and stops."""
        self._thread.stop()
        self._close_counts(float("inf"))
        self._keep()

    # -- taking in: from the event loop, which waits for nothing -----------------------------------------------------

    def take(self, entry: AuditEntry) -> None:
        """Takes something to be kept by itself."""
        with self._lock:
            self._wait(entry)

    def count(self, entry: AuditEntry) -> None:
        """Takes something that may come often: the first is kept, its like of the next minute are counted."""
        with self._lock:
            kind = self._kind(entry)
            open_ = self._counted.get(kind)
            if open_ is None and self._addresses[entry.address] >= MOST_OF_ADDRESS:
                entry = replace(entry, operation=VARIOUS, object=None)
                kind = self._kind(entry)
                open_ = self._counted.get(kind)
            if open_ is not None:
                open_.more += 1
                open_.latest = entry
            elif len(self._counted) >= MOST:
                self._dropped += 1
            else:
                self._counted[kind] = _Counted(entry, self._clock.monotonic() + COUNT_SECONDS)
                self._addresses[entry.address] += 1
                self._wait(entry)

    @staticmethod
    def _kind(entry: AuditEntry) -> _Kind:
        return entry.actor, entry.key_id, entry.address, entry.operation, entry.code

    def _wait(self, entry: AuditEntry) -> None:
        if len(self._waiting) < CAPACITY:
            self._waiting.append(entry)
        else:
            self._dropped += entry.count

    # -- keeping -----------------------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Keeps what has come in, and once an hour removes what is too old."""
        self._close_counts(self._clock.monotonic())
        self._keep()

    def _keep(self) -> None:
        try:
            self._flush()
            self._prune()
        except DatabaseUnavailable as error:
            logger.debug("the audit waits for the database", extra={"problem": error.detail})

    def _close_counts(self, now: float) -> None:
        with self._lock:
            for kind, counted in list(self._counted.items()):
                if counted.ends_at > now:
                    continue
                del self._counted[kind]
                self._addresses[counted.first.address] -= 1
                if counted.latest is not None:
                    is_one = counted.latest.object == counted.first.object
                    about = counted.first.object if is_one else None
                    self._wait(replace(counted.latest, count=counted.more, object=about))
            self._addresses = +self._addresses

    def _flush(self) -> None:
        """Raises DatabaseUnavailable; then everything waits on."""
        while batch := self._next_batch():
            for record in self._store.append(batch):
                log(record)
            with self._lock:
                for entry in batch:
                    if entry.outcome is AuditOutcome.DROPPED:
                        self._dropped -= entry.count
                    else:
                        self._waiting.popleft()

    def _next_batch(self) -> list[AuditEntry]:
        with self._lock:
            batch = [entry for entry, _ in zip(self._waiting, range(BATCH), strict=False)]
            if self._dropped:
                told = AuditEntry(self._clock.now(), SERVICE, "audit", AuditOutcome.DROPPED, count=self._dropped)
                batch.append(told)
            return batch

    def _prune(self) -> None:
        now = self._clock.monotonic()
        if not self._retention_days or now - self._pruned_at < PRUNE_SECONDS:
            return
        # By the steady time: a wrong clock must not take the audit with it.
        oldest = self._clock.steady.now() - timedelta(days=self._retention_days)
        while removed := self._store.prune(oldest, self._clock.now()):
            logger.info("old rows of the audit removed", extra={"rows": removed})
            if removed < BATCH:
                break
        self._pruned_at = now

    # -- for requests --------------------------------------------------------------------------------------------------

    def get_page(self, wanted: AuditFilter, operation: str | None, page: PageRequest) -> Page[AuditRow]:
        """A page of what was kept, newest first. `operation` is a part of its name, in any case."""
        if operation is not None:
            wanted = replace(wanted, operations=tuple(self._find(operation)))
        limit, cursor = min(page.limit, MAX_LIMIT), None if page.cursor is None else int(page.cursor)
        rows, total = self._store.page(wanted, limit + 1, cursor)
        has_more, rows = len(rows) > limit, rows[:limit]
        next_cursor = str(rows[-1].id) if has_more else None
        return Page(tuple(map(AuditRow.of, rows)), Pagination(total, limit, None, has_more, next_cursor))

    def _find(self, words: str) -> Iterator[str]:
        yield words
        yield from (name for name in self._names if words.lower() in name.lower())

    def verify(self, after: int | None, anchor: tuple[int, str] | None = None) -> ChainVerdict:
        """Walks along the chain from its beginning, or from behind the row `after`, as far as one request may. `anchor`
        is a row's id and the hash that it had when its line was written.
        """
        return show_check(self._store.check(after), find_anchor(self._store, anchor))


def verify_all(store: AuditStore, anchor: tuple[int, str] | None = None) -> ChainVerdict:
    """Walks along the whole chain, however long it is. Raises DatabaseUnavailable."""
    check, after = store.check(), 0
    while check.next_id is not None and check.next_id > after:
        after = check.next_id
        part = store.check(after)
        check = replace(part, checked=check.checked + part.checked, kept_since=check.kept_since or part.kept_since)
    return show_check(check, find_anchor(store, anchor))


def find_anchor(store: AuditStore, anchor: tuple[int, str] | None) -> bool | None:
    """Whether the row of an anchor still has its hash; None without an anchor."""
    return None if anchor is None else store.find_hash(anchor[0]) == anchor[1]


def show_check(check: ChainCheck, anchor_holds: bool | None) -> ChainVerdict:
    """What a walk has found, as it is answered."""
    return ChainVerdict(
        ok=check.is_unbroken and anchor_holds is not False,
        complete=check.next_id is None,
        next_cursor=None if check.next_id is None else str(check.next_id),
        checked=check.checked,
        first_id=check.first_id,
        kept_since=check.kept_since,
        last_id=check.last_id,
        last_hash=check.last_hash,
        bad_id=check.bad_id,
        problem=None if check.problem is None else check.problem.text,
        problem_code=code_of(check.problem),
        anchor_holds=anchor_holds,
    )
