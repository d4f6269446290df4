"""Logs: read, searched, downloaded. Following them is the streams' part."""

from apiflask import APIBlueprint
from flask import Response, request

from api.logs.schemas import (
    DownloadQuery,
    Form,
    LogsAnswer,
    LogsQuery,
    OwnLogsAnswer,
    SearchAllQuery,
    SearchAnswer,
    SearchQuery,
)
from api.logs.source import LogSource
from api.util.base_path import BASE_PATH
from api.util.responses import answer, answer_file
from api.web.context import services
from api.web.schemas import file_responses

logs = APIBlueprint("logs", __name__, url_prefix=BASE_PATH, tag="Logs")


@logs.get("/training/<task_id>/logs")
@logs.input(LogsQuery, location="query")
@logs.output(LogsAnswer)
@logs.doc(responses=[404, 422])
def get_logs(task_id: str, query_data: LogsQuery) -> Response:
    """Lines of a training's log

    The last 200 unless `tail`, `offset` or `since` say otherwise; `next_offset` is where the next call goes on. Each
    with its time, level, type, epoch and step, as far as they are known. Its cost does not grow with the log.
    """
    return page_of_log(services().logs.find(task_id), query_data)


@logs.get("/training/<task_id>/logs/search")
@logs.input(SearchQuery, location="query")
@logs.output(SearchAnswer)
@logs.doc(responses=[400, 404, 422, 503])
def search_task(task_id: str, query_data: SearchQuery) -> Response:
    """Search a training's log

    By a word or a regular expression of RE2's syntax, line by line. Bounded in results, bytes and time: `complete` and
    `stopped_because` say whether it came to the end, `next_offset` where it can go on.
    """
    return search_log(services().logs.find(task_id), query_data)


@logs.get("/training/<task_id>/logs/download")
@logs.input(DownloadQuery, location="query")
@logs.doc(responses=file_responses("The log.", "No such training.", "application/octet-stream", "text/plain"))
def download(task_id: str, query_data: DownloadQuery) -> Response:
    """Download a training's log

    All bytes as they were written, colours kept, as one file. Streamed; `Range` asks for a part.
    """
    return answer_file(request.environ, services().logs.open_download(task_id, query_data.inline))


@logs.get("/logs/search")
@logs.input(SearchAllQuery, location="query")
@logs.output(SearchAnswer)
@logs.doc(responses=[400, 422, 503])
def search_all(query_data: SearchAllQuery) -> Response:
    """Search the logs of all trainings

    Of those that one may see, the newest training first. What does not fit into one answer follows with
    `next_cursor`.
    """
    query = query_data.query(services().clock.now())
    return answer(services().logs.search_all(query, query_data.cursor))


@logs.get("/system/logs")
@logs.input(LogsQuery, location="query")
@logs.output(OwnLogsAnswer)
@logs.doc(responses=[422])
def get_own_logs(query_data: LogsQuery) -> Response:
    """Lines of the server's own log

    As for a training's log: the last 200 unless `tail`, `offset` or `since` say otherwise.
    """
    return page_of_log(services().logs.own, query_data)


@logs.get("/system/logs/search")
@logs.input(SearchQuery, location="query")
@logs.output(SearchAnswer)
@logs.doc(responses=[400, 422, 503])
def search_own(query_data: SearchQuery) -> Response:
    """Search the server's own log

    As in a training's log, with the same bounds.
    """
    return search_log(services().logs.own, query_data)


def page_of_log(source: LogSource, query: LogsQuery) -> Response:
    """Answers with the lines of a log that are asked for."""
    page = services().logs.get_page(
        source,
        tail=query.tail,
        offset=query.offset,
        since=query.since_at(services().clock.now()),
        limit_bytes=query.limit_bytes,
        wanted=query.wanted(),
    )
    if query.format is Form.JSON:
        return answer(page)
    text = "".join(f"{line.message}\n" for line in page.logs)
    headers = {"X-Next-Offset": str(page.next_offset)}
    return Response(text, content_type="text/plain; charset=utf-8", headers=headers)


def search_log(source: LogSource, query: SearchQuery) -> Response:
    """Answers with what was found in a log."""
    return answer(services().logs.search(source, query.query(services().clock.now()), query.offset))
