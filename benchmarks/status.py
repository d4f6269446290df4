"""GET /gpu/status under load: prepared bytes, compressed, not modified, and through Flask."""

from collections.abc import Iterator

from api.web.shell import FLASK_THREADS
from benchmarks.effort import Effort
from benchmarks.load import Comparison, Target, compare
from benchmarks.rows import MILLISECONDS, PER_SECOND, TIMES, Row, at_least, below
from benchmarks.servers import EIGHT_GPUS, MANY_GPUS, CannotRunError, Running, ask, peer, service, simulated

PATH = "/api/v1/gpu/status"
GZIP = {"Accept-Encoding": "gzip"}

#: Settings with one sweep at the start and then none, so that the ETag stays.
STILL = {"GPU_MONITOR_INTERVAL": "3600", "GPU_STATUS_CHECK_TIMEOUT": "86400"}


def measure(effort: Effort) -> Iterator[Row]:
    """Measure each kind of response, compared with a constant response of the same size."""
    with service(**simulated(EIGHT_GPUS)) as server:
        body = ask(server, PATH).body
        yield from _plain(server, body, effort)
        yield _through_flask(server, body, effort)
    with service(**simulated(EIGHT_GPUS, **STILL)) as server:
        yield _not_modified(server, effort)
    with service(**simulated(MANY_GPUS)) as server:
        yield _compressed(server, effort)


def _plain(server: Running, body: bytes, effort: Effort) -> Iterator[Row]:
    with peer("starlette", body) as constant:
        found = compare(Target(server.url(PATH)), Target(constant.url()), effort)
    yield _ratio(f"GET /gpu/status, 8 GPUs, {len(body):,} bytes", found, 0.8, "Starlette constant")
    beside = f"{MILLISECONDS.show(found.theirs.p99_ms)} Starlette constant"
    yield below("the same: 99th percentile", found.ours.p99_ms, 10.0, MILLISECONDS, beside)


def _compressed(server: Running, effort: Effort) -> Row:
    answer = ask(server, PATH, GZIP)
    if answer.headers.get("content-encoding") != "gzip":
        raise CannotRunError(f"GET {PATH} is not compressed")
    headers = ["Accept-Encoding: gzip"]
    with peer("starlette", answer.body, "--encoding", "gzip") as constant:
        found = compare(Target(server.url(PATH), headers), Target(constant.url(), headers), effort)
    return _ratio(f"the same, 256 GPUs, gzip, {len(answer.body):,} bytes", found, 0.8, "Starlette constant")


def _not_modified(server: Running, effort: Effort) -> Row:
    answer = ask(server, PATH)
    etag = answer.headers["etag"]
    with peer("starlette", answer.body) as constant:
        conditional = Target(server.url(PATH), [f"If-None-Match: {etag}"])
        found = compare(conditional, Target(constant.url()), effort)
    if ask(server, PATH).headers["etag"] != etag:
        raise CannotRunError("the ETag changed while it was being asked for")
    return _ratio("the same, 8 GPUs, If-None-Match: 304", found, 0.8, "Starlette constant, whole")


def _through_flask(server: Running, body: bytes, effort: Effort) -> Row:
    with peer("flask", body, "--threads", str(FLASK_THREADS)) as constant:
        found = compare(Target(server.url(f"{PATH}?through=flask")), Target(constant.url()), effort)
    return _ratio("the same, 8 GPUs, by its Flask route", found, 0.9, "Flask constant behind a2wsgi")


def _ratio(what: str, found: Comparison, limit: float, name: str) -> Row:
    beside = f"{PER_SECOND.show(found.theirs.rate)} {name}"
    return at_least(what, found.ratio, limit, TIMES, beside, PER_SECOND.show(found.ours.rate))
