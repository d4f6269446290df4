"""Routes of the audit: its rows, and the verification of its hash chain."""

from apiflask import APIBlueprint
from flask import Response

from api.access.schemas import AuditAnswer, AuditQuery, VerifyAnswer, VerifyQuery
from api.util.base_path import BASE_PATH
from api.web.responses import answer, services

audit = APIBlueprint("audit", __name__, url_prefix=f"{BASE_PATH}/auth/audit", tag="Access")


@audit.get("")
@audit.input(AuditQuery, location="query")
@audit.output(AuditAnswer)
@audit.doc(responses=[422, 503])
def list_audit(query_data: AuditQuery) -> Response:
    """List audit entries, newest first.

    Each change has its values before and after, each refusal its code; both have the actor, key, address and request
    id. Frequent operations have one row per minute with a `count`.
    """
    parts, query = services(), query_data
    page = parts.audit.get_page(query.wanted(parts.clock.now()), query.operation, query.page())
    return answer({"entries": page.rows, "pagination": page.pagination})


@audit.get("/verify")
@audit.input(VerifyQuery, location="query")
@audit.output(VerifyAnswer)
@audit.doc(responses=[422, 503])
def verify_audit(query_data: VerifyQuery) -> Response:
    """Verify that the audit was not modified.

    Each row contains a hash of itself and of the previous row. `ok` is false if a row was changed, removed, inserted or
    moved; `bad_id` and `problem` have the details. A long audit is verified in parts: continue with `next_cursor`.
    """
    return answer(services().audit.verify(query_data.after(), query_data.known()))
