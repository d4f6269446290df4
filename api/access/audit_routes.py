"""The audit: who changed what, what was refused, and whether that is what was written."""

from apiflask import APIBlueprint
from flask import Response

from api.access.audit_schemas import AuditAnswer, AuditQuery, VerifyAnswer, VerifyQuery
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services

audit = APIBlueprint("audit", __name__, url_prefix=f"{BASE_PATH}/auth/audit", tag="Access")


@audit.get("")
@audit.input(AuditQuery, location="query")
@audit.output(AuditAnswer)
@audit.doc(responses=[422, 503])
def get_audit(query_data: AuditQuery) -> Response:
    """Who changed what, and what was refused; newest first

    Each change with how it was before and is afterwards, each refusal with its code: by whom, with which key, from
    where and by which request. What comes often is one row a minute with its `count`.
    """
    parts, query = services(), query_data
    page = parts.audit.get_page(query.wanted(parts.clock.now()), query.operation, query.page())
    return answer({"entries": page.rows, "pagination": page.pagination})


@audit.get("/verify")
@audit.input(VerifyQuery, location="query")
@audit.output(VerifyAnswer)
@audit.doc(responses=[422, 503])
def verify(query_data: VerifyQuery) -> Response:
    """Whether the audit is what was written

    Each row has the hash of itself and of the row before. `ok` is false where one was changed, cut out, put in or
    moved; `bad_id` and `problem` say where and what. A long audit is walked along in parts: go on with `next_cursor`.
    """
    return answer(services().audit.verify(query_data.after(), query_data.known()))
