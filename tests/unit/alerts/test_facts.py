from typing import Any

from api.alerts.evaluation import FactTable
from api.alerts.facts import FactTables, People
from api.domain.alert_rule import RuleScope
from api.errors import DatabaseUnavailable
from api.util.clock import FakeClock


class Made:
    """Returns empty tables and counts them."""

    def __init__(self, *scopes: RuleScope) -> None:
        self.scopes = scopes
        self.count = 0
        self.is_away = False

    def __call__(self, *_: Any) -> Any:
        self.count += 1
        if self.is_away:
            raise DatabaseUnavailable
        found = tuple(FactTable(scope, (), {}) for scope in self.scopes)
        return found if len(found) > 1 else found[0]

    table = tables = oldest_unsent = __call__


class Board:
    def __init__(self, clock: FakeClock, people: People | None = None) -> None:
        self.state: Any = object()
        self.gpus, self.tasks = Made(RuleScope.GPU), Made(RuleScope.TASK, RuleScope.QUEUE)
        self.disks, self.service, self.nodes = Made(RuleScope.DISK), Made(RuleScope.SERVICE), Made(RuleScope.NODE)
        parts: Any = (self.gpus, self.tasks, self.disks, self.service, self.nodes, self, self)
        self.board = FactTables(lambda: self.state, *parts, people, clock)

    def oldest_unsent(self) -> dict[str, Any]:
        return {}

    def failed_since(self, since: Any) -> list[Any]:
        return []

    def tables(self, *scopes: RuleScope) -> set[RuleScope]:
        return set(self.board.tables(scopes or tuple(RuleScope), []))


def test_all_scopes_have_a_table(clock: FakeClock):
    assert Board(clock).tables() == set(RuleScope)


def test_table_is_cached_until_it_may_have_changed(clock: FakeClock):
    board = Board(clock)
    for _ in range(4):
        board.tables(RuleScope.GPU, RuleScope.TASK)
        clock.advance(1)
    assert (board.gpus.count, board.tasks.count) == (1, 1)
    board.state = object()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (2, 1)
    board.board.note_news()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (2, 2)
    board.board.note_news()
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert board.tasks.count == 2
    clock.advance(1)
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert board.tasks.count == 3
    clock.advance(5)
    board.tables(RuleScope.GPU, RuleScope.TASK)
    assert (board.gpus.count, board.tasks.count) == (3, 4)


def test_table_is_missing_if_the_database_is_unavailable(clock: FakeClock):
    board = Board(clock)
    board.tasks.is_away = True
    assert board.tables(RuleScope.TASK, RuleScope.GPU) == {RuleScope.GPU}
    assert board.board.recent(RuleScope.TASK) is None
    board.tasks.is_away = False
    assert RuleScope.TASK in board.tables(RuleScope.TASK)
    assert board.board.recent(RuleScope.TASK) is not None


def test_keys_and_users_have_tables_if_authentication_is_on(clock: FakeClock):
    people = People(list, list, lambda _: None, lambda _: {})  # type: ignore[arg-type,return-value]
    assert Board(clock, people).tables(RuleScope.KEY, RuleScope.USER) == {RuleScope.KEY, RuleScope.USER}


def test_outdated_table_is_not_recent(clock: FakeClock):
    board = Board(clock)
    assert board.board.recent(RuleScope.TASK) is None
    board.tables(RuleScope.TASK)
    assert board.board.recent(RuleScope.TASK) is not None
    clock.advance(19)
    assert board.board.recent(RuleScope.TASK) is not None
    clock.advance(2)
    assert board.board.recent(RuleScope.TASK) is None
