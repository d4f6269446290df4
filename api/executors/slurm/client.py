"""Asks slurmrestd: plain JSON by HTTP or a Unix socket, with a token that is read again when its file changes."""

import errno
import json
import logging
import re
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from api.executors.slurm.jobs import Job, parse_jobs, parse_states
from api.executors.slurm.nodes import NodeReport, parse_nodes
from api.utils.bounded_answers import AnswerTooLong, read_answer
from api.utils.foreign_files import read, status_of

#: Seconds that connecting, and a whole answer, may take.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0

#: The most bytes of an answer: a job is 5 KB there.
MOST_BYTES = 256 * 2**20
_MOST_TOKEN_BYTES = 16_384

_VERSION = re.compile(r"/slurm/v(\d{1,3})\.(\d{1,3})\.(\d{1,3})/job/submit", re.ASCII)

#: Slurm's number for a job that is not there, or no longer.
NO_SUCH_JOB = 2017
_ALREADY_DONE = 2021


class SlurmUnreachable(OSError):
    """Nobody knows what Slurm would say: slurmrestd or its controller does not answer."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EHOSTUNREACH, f"Slurm cannot be asked: {why}")


class SlurmRefused(OSError):
    """Slurm has said no."""

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(errno.EREMOTEIO, why)
        self.number = number  #: Slurm's own


class SlurmClient:
    """A connection to slurmrestd, which threads may share. Every call raises SlurmUnreachable or SlurmRefused."""

    def __init__(self, url: str, token_file: Path, answer_seconds: float = ANSWER_SECONDS) -> None:
        """`url` is http://host:port, https://… or unix:///path."""
        # It would write a line for each look.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        address = urlsplit(url)
        transport = httpx.HTTPTransport(uds=address.path) if address.scheme == "unix" else None
        self._http = httpx.Client(
            base_url="http://localhost" if transport else url.rstrip("/"),
            transport=transport,
            timeout=httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            trust_env=False,
        )
        self._answer_seconds = answer_seconds
        self._token_file = token_file
        self._lock = threading.Lock()  # of what follows
        self._token: tuple[tuple[int, int, int], str] | None = None
        self._version: str | None = None

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    # What is asked

    def jobs(self) -> tuple[Job, ...]:
        """All jobs of the cluster, of whoever they are, with what each has on its nodes."""
        return parse_jobs(self._get("jobs/", {"flags": "DETAIL"}))

    def states(self) -> Mapping[int, frozenset[str]]:
        """The states of all jobs by number: a hundredth of what `jobs` says, and of the time that it takes."""
        return parse_states(self._get("jobs/state/"))

    def job(self, job_id: int) -> Job | None:
        """One job; None when Slurm does not know it any more."""
        try:
            found = parse_jobs(self._get(f"job/{job_id}", {"flags": "DETAIL"}))
        except SlurmRefused as error:
            if error.number == NO_SUCH_JOB:
                return None
            raise
        return next((job for job in found if job.job_id == job_id), None)

    def nodes(self) -> tuple[NodeReport, ...]:
        """The machines of the cluster."""
        return parse_nodes(self._get("nodes/", {"flags": "DETAIL"}))

    def partitions(self) -> tuple[str, ...]:
        """The names of the partitions."""
        answer = self._get("partitions/").get("partitions")
        names = [each.get("name") for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []
        return tuple(name for name in names if isinstance(name, str))

    def submit(self, script: str, job: Mapping[str, Any]) -> int:
        """Hands a job over; returns its id."""
        answer = self._send("POST", "job/submit", {"script": script, "job": dict(job)})
        number = answer.get("job_id")
        if not isinstance(number, int) or number <= 0:
            raise SlurmUnreachable("its answer to a submission names no job")
        ignored = [text for text in _warnings(answer) if "unknown field" in text.lower()]
        if ignored:
            # What was asked for is never left out in silence.
            self.cancel(number)
            raise SlurmRefused(f"This Slurm does not know all that a job needs: {ignored[0]}")
        return number

    def release(self, job_id: int) -> None:
        """Lets a held job begin."""
        self._send("POST", f"job/{job_id}", {"hold": False})

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Has a job that waits begin on none of these nodes, and on any other."""
        # An empty list would leave it as it is.
        self._send("POST", f"job/{job_id}", {"excluded_nodes": sorted(nodes) or [""]})

    def cancel(self, job_id: int) -> None:
        """Ends a job with every process of it; one that has ended stays as it is."""
        try:
            self._send("DELETE", f"job/{job_id}")
        except SlurmRefused as error:
            if error.number not in (NO_SUCH_JOB, _ALREADY_DONE):
                raise

    # How

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._ask("GET", f"slurm/{self._parser()}/{path}", parameters)

    def _send(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._ask(method, f"slurm/{self._parser()}/{quote(path)}", content=content)

    def _parser(self) -> str:
        """The newest version of the data parser that this slurmrestd has, by its own description."""
        with self._lock:
            known = self._version
        if known is None:
            paths = self._ask("GET", "openapi/v3").get("paths")
            known = newest_version(paths if isinstance(paths, dict) else {})
            with self._lock:
                self._version = known
        return known

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        headers = {"X-SLURM-USER-TOKEN": self._read_token()}
        give_up_at = time.monotonic() + self._answer_seconds
        try:
            with self._http.stream(method, f"/{path}", params=parameters, json=content, headers=headers) as answer:
                body = read_answer(answer, MOST_BYTES, give_up_at)
        except (httpx.HTTPError, AnswerTooLong) as error:
            raise SlurmUnreachable(str(error) or type(error).__name__) from error
        return self._understand(answer.status_code, body)

    def _understand(self, status: int, body: bytes) -> dict[str, Any]:
        if status == httpx.codes.UNAUTHORIZED:
            raise SlurmUnreachable(f"it does not take the token in {self._token_file}: put a new one there")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            with self._lock:
                self._version = None  # perhaps it is a newer one now
            raise SlurmUnreachable(f"it answers {status}, and no JSON")
        problem = _problem(answer)
        if problem is not None:
            raise self._as_error(*problem)
        if status >= httpx.codes.BAD_REQUEST:
            raise SlurmUnreachable(f"it answers {status}")
        return answer

    def _as_error(self, number: int | None, text: str) -> OSError:
        if number is not None and number < _FIRST_REFUSAL:
            # Its numbers below are about the way to the controller, not about what was asked.
            more = f": is the token in {self._token_file} out of date?" if "authentication" in text.lower() else ""
            return SlurmUnreachable(text + more)
        return SlurmRefused(text, number)

    def _read_token(self) -> str:
        """The token, read again where its file has changed."""
        path = str(self._token_file)
        try:
            status = status_of(path)
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            with self._lock:
                if self._token is None or self._token[0] != version:
                    self._token = version, _token_in(read(path, _MOST_TOKEN_BYTES).decode("ascii"))
                return self._token[1]
        except (OSError, ValueError) as error:
            raise SlurmUnreachable(f"SLURM_TOKEN_FILE ({path}) cannot be read: {error}") from error


_FIRST_REFUSAL = 2000


def newest_version(paths: Mapping[str, object]) -> str:
    """The newest version among these paths of slurmrestd's description, as v0.0.42."""
    found = [tuple(map(int, match.groups())) for path in paths if (match := _VERSION.fullmatch(path))]
    if not found:
        raise SlurmUnreachable("slurmrestd describes no way to submit a job: start it with -s slurmctld")
    return "v" + ".".join(map(str, max(found)))


def _token_in(text: str) -> str:
    """The token in a file that holds it alone, or as `scontrol token` prints it."""
    token = text.strip().removeprefix("SLURM_JWT=")
    if not token or not token.isprintable() or " " in token:
        raise ValueError("it holds no token")
    return token


def _problem(answer: Mapping[str, Any]) -> tuple[int | None, str] | None:
    """The first thing that an answer complains of; None where it is content."""
    complaints = answer.get("errors")
    first = complaints[0] if isinstance(complaints, list) and complaints else None
    if isinstance(first, dict):
        number, said = first.get("error_number"), (first.get("description"), first.get("error"))
        text = ": ".join(str(part) for part in said if part)
        return number if isinstance(number, int) else None, text[:500] or "it gives no reason"
    # The end of a job complains elsewhere.
    status = answer.get("status")
    error = status[0].get("error") if isinstance(status, list) and status and isinstance(status[0], dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(error, dict) and isinstance(code, int) and code:
        return code, str(error.get("message") or error.get("string"))[:500]
    return None


def _warnings(answer: Mapping[str, Any]) -> list[str]:
    found = answer.get("warnings")
    texts = [each.get("description") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [text[:300] for text in texts if isinstance(text, str)]
