"""Routes that read, search and download logs. Streams follow them."""

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.log import LogPage, SearchResult, TaskLogPage
from api.logs.reader import LogSource
from api.logs.schemas import DownloadQuery, LogFormat, LogsQuery, SearchAllQuery, SearchQuery
from api.util.http.base_path import BASE_PATH
from api.web.responses import answer, answer_file, services
from api.web.schemas import envelope_of, file_responses

logs = APIBlueprint("logs", __name__, url_prefix=BASE_PATH, tag="Logs")


@logs.get("/training/<task_id>/logs")
@logs.input(LogsQuery, location="query")
@logs.output(envelope_of(TaskLogPage, "Logs"))
@logs.doc(responses=[404, 422])
def get_training_logs(task_id: str, query_data: LogsQuery) -> Response:
    """Get lines of a training's log.

    By default the last 200; select others by `tail`, `offset` or `since`. The next call continues at `next_offset`.
    Each line has its time, level, type, epoch and step, if known. The cost does not depend on the size of the log.
    """
    return page_of_log(services().logs.find(task_id), query_data)


@logs.get("/training/<task_id>/logs/search")
@logs.input(SearchQuery, location="query")
@logs.output(envelope_of(SearchResult, "Search"))
@logs.doc(responses=[400, 404, 422, 503])
def search_training_logs(task_id: str, query_data: SearchQuery) -> Response:
    """Search a training's log.

    By a keyword or a regular expression in RE2's syntax, line by line. Results, bytes and time are bounded: `complete`
    and `stopped_because` show whether the search reached the end, and `next_offset` where it can continue.
    """
    return search_log(services().logs.find(task_id), query_data)


@logs.get("/training/<task_id>/logs/download")
@logs.input(DownloadQuery, location="query")
@logs.doc(responses=file_responses("The log.", "No such training.", "application/octet-stream", "text/plain"))
def download_training_logs(task_id: str, query_data: DownloadQuery) -> Response:
    """Download a training's log.

    All bytes as they were written, including colour codes, as one file. The response is streamed; `Range` requests a
    part.
    """
    return answer_file(request.environ, services().logs.open_download(task_id, query_data.inline))


@logs.get("/logs/search")
@logs.input(SearchAllQuery, location="query")
@logs.output(envelope_of(SearchResult, "Search"))
@logs.doc(responses=[400, 422, 503])
def search_all_logs(query_data: SearchAllQuery) -> Response:
    """Search the logs of all trainings.

    It covers the trainings that you may see, newest first. Further results follow with `next_cursor`.
    """
    query = query_data.query(services().clock.now())
    return answer(services().logs.search_all(query, query_data.cursor))


@logs.get("/system/logs")
@logs.input(LogsQuery, location="query")
@logs.output(envelope_of(LogPage, "OwnLogs"))
@logs.doc(responses=[422])
def get_server_logs(query_data: LogsQuery) -> Response:
    """Get lines of the server's own log.

    As for a training's log: by default the last 200; select others by `tail`, `offset` or `since`.
    """
    return page_of_log(services().logs.own, query_data)


@logs.get("/system/logs/search")
@logs.input(SearchQuery, location="query")
@logs.output(envelope_of(SearchResult, "Search"))
@logs.doc(responses=[400, 422, 503])
def search_server_logs(query_data: SearchQuery) -> Response:
    """Search the server's own log.

    As for a training's log, with the same bounds.
    """
    return search_log(services().logs.own, query_data)


def page_of_log(source: LogSource, query: LogsQuery) -> Response:
    """Respond with the requested lines of a log."""
    page = services().logs.get_page(
        source,
        tail=query.tail,
        offset=query.offset,
        since=query.since_at(services().clock.now()),
        limit_bytes=query.limit_bytes,
        line_filter=query.line_filter(),
    )
    if query.format is LogFormat.JSON:
        return answer(page)
    text = "".join(f"{line.message}\n" for line in page.logs)
    headers = {"X-Next-Offset": str(page.next_offset)}
    return Response(text, content_type="text/plain; charset=utf-8", headers=headers)


def search_log(source: LogSource, query: SearchQuery) -> Response:
    """Respond with the results of a search in one log."""
    return answer(services().logs.search(source, query.query(services().clock.now()), query.offset))
