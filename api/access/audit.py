"""Read and verify the audit, and store entries outside of transactions: refusals and counted operations."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from api.access.audit_store import BATCH, AuditStore
from api.db.audit_chain import log
from api.domain.access.audit import SERVICE, AuditEntry, AuditFilter, AuditOutcome, AuditRow, ChainCheck, ChainVerdict
from api.domain.reason import code_of
from api.errors import DatabaseUnavailable
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.pagination import MAX_LIMIT, Page, PageRequest, Pagination
from api.util.periodic import LoopOwner, PeriodicThread
from api.web.operations import OperationTable

logger = logging.getLogger(__name__)

#: Seconds between two writes: a crash loses at most the entries of this time.
FLUSH_SECONDS = 1.0

#: Seconds in which similar entries are counted in one row.
COUNT_SECONDS = 60.0

#: Distinct refusals within that time. Beyond the first limit, refusals of one address are only distinguished by their
#: code; beyond the second, refusals are only counted. Each makes two rows at most.
MOST_OF_ADDRESS, MOST = 20, 300

#: Entries that wait while the database is unavailable; further ones are only counted.
CAPACITY = 5000

#: Seconds between two removals of rows beyond the retention time.
PRUNE_SECONDS = 3600.0

#: The operation of refusals whose operations are no longer distinguished.
VARIOUS = "various"

_Kind = tuple[str, str | None, str | None, str | None, str, str | None]


@dataclass(slots=True)
class _Counted:
    """An entry, and the number of similar ones that followed within its minute."""

    first: AuditEntry
    ends_at: float
    more: int = 0
    latest: AuditEntry | None = None


class AuditTrail(LoopOwner):
    """Stores audit entries that do not belong to a transaction, and serves queries of the audit."""

    def __init__(
        self, store: AuditStore, clock: Clock, retention_days: int, operations: OperationTable | None = None
    ) -> None:
        """With `retention_days` 0 rows are never removed."""
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

    def stop(self) -> None:
        """Store the waiting entries and stop the thread."""
        self._thread.stop()
        self._close_counts(float("inf"))
        self._keep()

    # -- receiving: called from the event loop, never blocks ---------------------------------------------------------

    def take(self, entry: AuditEntry) -> None:
        """Accept an entry to be stored in a row of its own."""
        with self._lock:
            self._wait(entry)

    def count(self, entry: AuditEntry) -> None:
        """Accept a frequent entry: the first is stored, similar ones of the next minute are counted."""
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
        return entry.actor, entry.key_id, entry.address, entry.via, entry.operation, entry.code

    def _wait(self, entry: AuditEntry) -> None:
        if len(self._waiting) < CAPACITY:
            self._waiting.append(entry)
        else:
            self._dropped += entry.count

    # -- storing -----------------------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Store the received entries; once an hour, remove old rows."""
        self._close_counts(self._clock.monotonic())
        self._keep()

    def _keep(self) -> None:
        try:
            self._flush()
            self._prune()
        except DatabaseUnavailable as error:
            logger.debug("audit entries wait for the database", extra={"problem": error.detail})

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
        """Write the waiting entries. Raises DatabaseUnavailable; the entries then keep waiting."""
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
                dropped = AuditEntry(self._clock.now(), SERVICE, "audit", AuditOutcome.DROPPED, count=self._dropped)
                batch.append(dropped)
            return batch

    def _prune(self) -> None:
        now = self._clock.monotonic()
        if not self._retention_days or now - self._pruned_at < PRUNE_SECONDS:
            return
        # The steady time, so that a wrong system clock does not delete the audit.
        oldest = self._clock.steady.now() - timedelta(days=self._retention_days)
        while removed := self._store.prune(oldest, self._clock.now()):
            logger.info("old audit rows removed", extra={"rows": removed})
            if removed < BATCH:
                break
        self._pruned_at = now

    # -- for requests --------------------------------------------------------------------------------------------------

    def get_page(self, wanted: AuditFilter, operation: str | None, page: PageRequest) -> Page[AuditRow]:
        """Return a page of rows, newest first. `operation` is a part of the operation's name, case-insensitive."""
        if operation is not None:
            wanted = replace(wanted, operations=tuple(self._find(operation)))
        limit, cursor = min(page.limit, MAX_LIMIT), None if page.cursor is None else int(page.cursor)
        rows, total = self._store.page(wanted, limit + 1, cursor)
        has_more, rows = len(rows) > limit, rows[:limit]
        next_cursor = str(rows[-1].id) if has_more else None
        return Page(tuple(map(AuditRow.of, rows)), Pagination(total, limit, None, has_more, next_cursor))

    def _find(self, text: str) -> Iterator[str]:
        yield text
        yield from (name for name in self._names if text.lower() in name.lower())

    def verify(self, after: int | None, anchor: tuple[int, str] | None = None) -> ChainVerdict:
        """Verify the hash chain from its beginning or after the row `after`, up to the limit of one request.

        `anchor` is a row's id with the hash that was logged when it was written.
        """
        return to_verdict(self._store.check(after), find_anchor(self._store, anchor))


def verify_all(store: AuditStore, anchor: tuple[int, str] | None = None) -> ChainVerdict:
    """Verify the whole hash chain, however long it is. Raises DatabaseUnavailable."""
    check, after = store.check(), 0
    while check.next_id is not None and check.next_id > after:
        after = check.next_id
        part = store.check(after)
        check = replace(part, checked=check.checked + part.checked, kept_since=check.kept_since or part.kept_since)
    return to_verdict(check, find_anchor(store, anchor))


def find_anchor(store: AuditStore, anchor: tuple[int, str] | None) -> bool | None:
    """Return whether the row of an anchor still has its hash; None without an anchor."""
    return None if anchor is None else store.find_hash(anchor[0]) == anchor[1]


def to_verdict(check: ChainCheck, anchor_holds: bool | None) -> ChainVerdict:
    """Return the result of a verification as the API shows it."""
    return copy_fields(
        ChainVerdict,
        check,
        ok=check.is_unbroken and anchor_holds is not False,
        complete=check.next_id is None,
        next_cursor=None if check.next_id is None else str(check.next_id),
        problem=None if check.problem is None else check.problem.text,
        problem_code=code_of(check.problem),
        anchor_holds=anchor_holds,
    )
