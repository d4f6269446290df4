"""Audit entries of requests that no transaction recorded."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from api.domain.access.audit import AuditEntry, AuditOutcome, current_note, note_change, note_refusal
from api.domain.access.principal import LOCAL, Credential, Permission, Principal
from api.errors import Forbidden, NotFound, RateLimited, Unauthenticated
from api.util.clock import FakeClock
from api.web.auditing import CHANGING, COUNTED, UNAUDITED, Auditing
from api.web.operations import OperationTable

START = "/api/v1/training/start"
ANN = Principal("ann", None, frozenset(Permission), Credential.KEY, "abcdefghijkl")
SCOPE: dict[str, Any] = {"client": ("10.0.0.9", 1234)}


@dataclass
class Sink:
    taken: list[AuditEntry] = field(default_factory=list)
    counted: list[AuditEntry] = field(default_factory=list)

    def take(self, entry: AuditEntry) -> None:
        self.taken.append(entry)

    def count(self, entry: AuditEntry) -> None:
        self.counted.append(entry)


@dataclass
class Answer:
    request_id: str = "r-1"
    status: int = 0


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def auditing(sink: Sink, clock: FakeClock) -> Auditing:
    return Auditing(sink, clock)


def test_change_outside_of_the_database_is_recorded(auditing: Auditing, sink: Sink, clock: FakeClock):
    answer = Answer()
    with auditing.noting(ANN, "POST", "/stop/<task_id>", {"task_id": "t1"}, SCOPE, answer):
        note_change(after={"force": True})
        answer.status = 202
    assert sink.taken == [
        AuditEntry(
            clock.now(), "ann", "POST /stop/<task_id>", AuditOutcome.DONE, "abcdefghijkl", "t1", "10.0.0.9",
            request_id="r-1", after={"force": True},
        )
    ]  # fmt: skip
    assert current_note.get() is None


def test_undescribed_change_is_recorded(auditing: Auditing, sink: Sink):
    answer = Answer()
    with auditing.noting(ANN, "POST", START, {}, SCOPE, answer):
        note = current_note.get()
        assert note is not None
        note.has_committed = True
        answer.status = 201
    assert [entry.operation for entry in sink.taken] == [f"POST {START}"]


def test_change_recorded_by_its_transaction_is_not_recorded_again(auditing: Auditing, sink: Sink):
    answer = Answer()
    with auditing.noting(LOCAL, "POST", START, {}, SCOPE, answer):
        note_change(after={})
        note = current_note.get()
        assert note is not None
        note.is_kept = True
        answer.status = 201
    assert (sink.taken, sink.counted) == ([], [])


@pytest.mark.parametrize(
    ("method", "status", "changes"), [("POST", 201, False), ("POST", 409, True), ("GET", 200, True)]
)
def test_request_without_a_change_leaves_nothing(
    auditing: Auditing, sink: Sink, method: str, status: int, changes: bool
):
    answer = Answer()
    with auditing.noting(LOCAL, method, START, {}, SCOPE, answer):
        if changes:
            note_change(after={})
        answer.status = status
    assert (sink.taken, sink.counted) == ([], [])


def test_refusal_by_a_view_is_counted(auditing: Auditing, sink: Sink):
    answer = Answer()
    with auditing.noting(ANN, "POST", START, {}, SCOPE, answer):
        note_refusal("quota_exceeded")
        answer.status = 409
    (entry,) = sink.counted
    assert (entry.outcome, entry.code, entry.actor) == (AuditOutcome.REFUSED, "quota_exceeded", "ann")


def test_download_is_counted(auditing: Auditing, sink: Sink):
    answer = Answer()
    pattern, arguments = "/api/v1/training/<task_id>/artifacts/<path:path>", {"task_id": "t1", "path": "a/b.txt"}
    with auditing.noting(ANN, "GET", pattern, arguments, SCOPE, answer):
        answer.status = 206
    assert [entry.object for entry in sink.counted] == ["t1/a/b.txt"]


def test_tried_key_is_recorded_without_its_secret(auditing: Auditing, sink: Sink):
    headers = {b"authorization": b"Bearer dp_abcdefghijkl_s3cret"}
    auditing.refuse(Unauthenticated(), "HEAD", "/x", SCOPE, headers, "r-1", None)
    (entry,) = sink.counted
    assert (entry.actor, entry.object, entry.operation) == ("nobody", "abcdefghijkl", "GET /x")
    assert "s3cret" not in repr(entry)


def test_known_user_is_recorded(auditing: Auditing, sink: Sink):
    auditing.refuse(Forbidden(), "POST", "/x", SCOPE, {}, "r-1", ANN)
    auditing.refuse(RateLimited(), "POST", "/x", {}, {}, "r-1", ANN)
    assert [(entry.actor, entry.code, entry.address) for entry in sink.counted] == [
        ("ann", "forbidden", "10.0.0.9"),
        ("ann", "rate_limited", None),
    ]


def test_error_that_is_not_a_refusal_is_not_recorded(auditing: Auditing, sink: Sink):
    auditing.refuse(NotFound(), "GET", "/x", SCOPE, {}, "r-1", ANN)
    assert sink.counted == []


def test_operations_with_special_rules_exist():
    known = {operation.name for operation in OperationTable().all}
    assert (COUNTED | UNAUDITED | CHANGING) - known == set()


def test_oidc_callback_is_a_change(auditing: Auditing):
    with auditing.noting(LOCAL, "GET", "/api/v1/auth/oidc/callback", {}, SCOPE, Answer()):
        note = current_note.get()
        assert note is not None
        assert note.is_change
