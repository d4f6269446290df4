"""Call slurmrestd with JSON over HTTP or a Unix socket. The token is read again when its file changes."""

import base64
import errno
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from api.executors.executor import EngineUnavailable
from api.executors.slurm.jobs import Job, parse_job, parse_state
from api.executors.slurm.nodes import NodeReport, parse_node
from api.util.files.outside_files import SecretFile, read_secret_file
from api.util.http.bounded_answers import AnswerTooLong, TimedTransport, read_parts
from api.util.text.json_lists import read_object
from api.util.text.terminal_text import show

#: Time limits in seconds for connecting and for a complete answer.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0

#: The maximum size of an answer in bytes; a job takes 5 KB.
MOST_BYTES = 256 * 2**20

#: The maximum size of an answer without a long list; the longest is slurmrestd's own description.
MOST_BYTES_OF_FEW = 8 * 2**20

#: The maximum length of a quoted error, in characters.
_MOST_TEXT = 500

_VERSION = re.compile(r"/slurm/v(\d{1,3})\.(\d{1,3})\.(\d{1,3})/job/submit", re.ASCII)

#: Slurm's error number for a job that does not exist, or no longer.
NO_SUCH_JOB = 2017
_ALREADY_DONE = 2021

#: The error number of a controller that holds the maximum number of jobs (MaxJobCount).
QUEUE_FULL = errno.EAGAIN

#: Job numbers are below this.
_LAST_NUMBER = 2**32


#: Makes Slurm include the GPUs of each job or node.
DETAILS = MappingProxyType({"flags": "DETAIL"})

_T = TypeVar("_T")


#: The valid range of Unix times.
_FIRST, _LAST = 0, 253_402_300_799


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its claims, which only Slurm can verify."""

    text: str
    user: str | None = None  #: the Slurm user of the token
    ends_at: float | None = None  #: Unix seconds

    def why_refused(self, now: float) -> str:
        """Return the probable problem and its remedy, as a clause after the token's path."""
        if self.ends_at is not None and self.ends_at <= now:
            until = datetime.fromtimestamp(self.ends_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
            return f"was good until {until} UTC: check its renewal (systemctl status slurm-token)"
        return "was rejected: replace it with a new one (scontrol token)"


class TokenFile:
    """The file with the token. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # guards the attributes below
        self._known: SecretFile | None = None
        self._token = Token("")

    def read(self) -> Token:
        """Return the current token in the file.

        Raises OSError, ValueError.
        """
        with self._lock:
            found = read_secret_file(self.path, self._known)
            if found is not self._known:
                self._token = parse_token(found.content)
                self._known = found
            return self._token

    @property
    def user(self) -> str | None:
        """The user of the token that was read last."""
        return self._token.user

    def why_refused(self) -> str:
        """Return the probable problem of the token that was read last, and its remedy."""
        return f"the token in {self.path} {self._token.why_refused(time.time())}"


def parse_token(content: bytes) -> Token:
    """Return the token in a file that contains only the token, or the output of `scontrol token`.

    Raises ValueError.
    """
    if not content.strip():
        raise ValueError("it is empty")
    if not content.isascii():
        raise ValueError("it contains no token, but characters other than ASCII")
    text = content.decode("ascii").strip().removeprefix("SLURM_JWT=")
    if not text or not text.isprintable() or " " in text:
        raise ValueError("it must contain one token in one line, as `scontrol token` prints it")
    claims = _claims_in(text)
    user = claims.get("sun")
    return Token(text, user if isinstance(user, str) and user else None, _timestamp(claims.get("exp")))


def _timestamp(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    return float(given) if _FIRST < given <= _LAST else None


def _claims_in(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


class SlurmUnreachable(EngineUnavailable):
    """slurmrestd or its controller does not answer, so the result of a request is unknown."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EHOSTUNREACH, f"Slurm is unavailable: {why}")


class SlurmRefused(OSError):
    """Slurm has rejected a request."""

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(errno.EREMOTEIO, why)
        self.number = number  #: Slurm's error number


class SlurmClient:
    """A connection to slurmrestd, which threads may share. Every call raises SlurmUnreachable or SlurmRefused."""

    def __init__(self, url: str, token_file: Path, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Create a client. `url` is http://host:port, https://… or unix:///path."""
        # It would log a line for each poll.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        address = urlsplit(url)
        socket = address.path if address.scheme == "unix" else None
        self._http = httpx.Client(
            base_url="http://localhost" if socket else url.rstrip("/"),
            transport=TimedTransport(socket),
            timeout=httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )
        self._answer_seconds = answer_seconds
        self._token_file = TokenFile(token_file)
        self._lock = threading.Lock()  # guards the attributes below
        self._version: str | None = None

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    # Requests

    @property
    def user(self) -> str | None:
        """The user whose jobs it submits; None if the token does not contain it."""
        return self._token_file.user

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs of the cluster, of all users, with their resources on each node."""
        jobs = self._list("jobs/", "jobs", parse_job, DETAILS)
        if jobs and not any(job.states for job in jobs):
            raise SlurmUnreachable("it lists jobs in an unknown format")
        return jobs

    def states(self) -> Mapping[int, frozenset[str]]:
        """Return the states of all jobs by number.

        This takes a hundredth of the size and time of `jobs`.
        """
        return dict(self._list("jobs/state/", "jobs", parse_state))

    def job(self, job_id: int) -> Job | None:
        """Return one job, or None if Slurm no longer knows it."""
        unread = Job(job_id, "", frozenset())
        try:
            found = self._list(f"job/{job_id}", "jobs", lambda given: parse_job(given) or unread, DETAILS)
        except SlurmRefused as error:
            if error.number == NO_SUCH_JOB:
                return None
            raise
        # If the answer is about another job, this one's state is unknown.
        return next((job for job in found if job.job_id == job_id), unread)

    def nodes(self) -> tuple[NodeReport, ...]:
        """Return the nodes of the cluster; the first of two with the same name."""
        found: dict[str, NodeReport] = {}
        for node in self._list("nodes/", "nodes", parse_node, DETAILS):
            found.setdefault(node.name, node)
        return tuple(found.values())

    def partitions(self) -> tuple[str, ...]:
        """Return the names of the partitions."""
        return self._list("partitions/", "partitions", _name_in)

    def submit(self, script: str, job: Mapping[str, Any]) -> int:
        """Submit a job; return its id."""
        answer = self._send("POST", "job/submit", {"script": script, "job": dict(job)})
        number = answer.get("job_id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < _LAST_NUMBER:
            raise SlurmUnreachable("its answer to a submission contains no job number")
        ignored = [text for text in _warnings(answer) if "unknown field" in text.lower()]
        if ignored:
            # A requested option must not be ignored silently.
            self.cancel(number)
            raise SlurmRefused(f"This version of Slurm does not support a field that a job needs: {ignored[0]}")
        return number

    def release(self, job_id: int) -> None:
        """Let a held job start."""
        self._send("POST", f"job/{job_id}", {"hold": False})

    def exclude(self, job_id: int, nodes: Collection[str]) -> None:
        """Exclude exactly these nodes for a waiting job."""
        # An empty list would change nothing.
        self._send("POST", f"job/{job_id}", {"excluded_nodes": sorted(nodes) or [""]})

    def cancel(self, job_id: int) -> None:
        """Cancel a job with all its processes. A job that has ended does not change."""
        try:
            self._send("DELETE", f"job/{job_id}")
        except SlurmRefused as error:
            if error.number not in (NO_SUCH_JOB, _ALREADY_DONE):
                raise

    # Transport

    def _list(
        self, path: str, name: str, parse: Callable[[Any], _T | None], parameters: Mapping[str, str] | None = None
    ) -> tuple[_T, ...]:
        """Return the parsed items of a list in an answer, which may be empty. A missing list is an error."""
        answer = self._request("GET", f"slurm/{self._parser()}/{path}", parameters, each={name: parse})
        given = answer.get(name)
        if not isinstance(given, list):
            raise SlurmUnreachable(f"its answer has no list of {name}: does slurmrestd run at SLURMRESTD_URL?")
        found = tuple(each for each in given if each is not None)
        # Single unreadable items are skipped. If all are unreadable, the content is unknown.
        if given and not found:
            raise SlurmUnreachable(f"it lists {name} in an unknown format")
        return found

    def _send(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._request(method, f"slurm/{self._parser()}/{quote(path)}", content=content)

    def _parser(self) -> str:
        """Return the newest data parser version of this slurmrestd, from its own description."""
        with self._lock:
            known = self._version
        if known is None:
            paths = self._request("GET", "openapi/v3").get("paths")
            known = newest_version(paths if isinstance(paths, dict) else {})
            with self._lock:
                self._version = known
        return known

    def _request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
        each: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
    ) -> dict[str, Any]:
        headers = {"X-SLURM-USER-TOKEN": self._read_token()}
        give_up_at = time.monotonic() + self._answer_seconds
        try:
            with self._http.stream(method, f"/{path}", params=parameters, json=content, headers=headers) as answer:
                if answer.is_redirect:
                    raise SlurmUnreachable(_describe_redirect(answer))
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    raise SlurmUnreachable(self._token_file.why_refused())
                parts = read_parts(answer, MOST_BYTES if each else MOST_BYTES_OF_FEW, give_up_at)
                return self._understand(answer.status_code, read_object(parts, each))
        except (httpx.HTTPError, AnswerTooLong) as error:
            raise SlurmUnreachable(show(str(error), _MOST_TEXT) or type(error).__name__) from error
        except ValueError as error:
            with self._lock:
                self._version = None  # the server may have been upgraded
            raise SlurmUnreachable(f"it answers {answer.status_code} with content that cannot be parsed") from error

    def _understand(self, status: int, answer: dict[str, Any]) -> dict[str, Any]:
        number, text = _problem(answer)
        is_success = httpx.codes.is_success(status)
        if text is not None and (is_success or number is not None):
            raise self._as_error(number, text)
        if not is_success:
            # A proxy in front of it may answer; that is not Slurm's rejection.
            raise SlurmUnreachable(f"it answers {status}{f' ({text})' if text else ''}")
        return answer

    def _as_error(self, number: int | None, text: str) -> OSError:
        if number is not None and number < _FIRST_REFUSAL and number != QUEUE_FULL:
            # Lower numbers concern the connection to the controller, not the request.
            more = f": {self._token_file.why_refused()}" if "authentication" in text.lower() else ""
            return SlurmUnreachable(text + more)
        return SlurmRefused(text, number)

    def _read_token(self) -> str:
        try:
            return self._token_file.read().text
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise SlurmUnreachable(f"SLURM_TOKEN_FILE ({self._token_file.path}) cannot be read: {why}") from error


_FIRST_REFUSAL = 2000


def newest_version(paths: Mapping[str, object]) -> str:
    """Return the newest version among these paths of slurmrestd's description, such as v0.0.42."""
    found = [tuple(map(int, match.groups())) for path in paths if (match := _VERSION.fullmatch(path))]
    if not found:
        raise SlurmUnreachable("slurmrestd offers no job submission: start it with -s slurmctld")
    return "v" + ".".join(map(str, max(found)))


def _name_in(given: object) -> str | None:
    name = given.get("name") if isinstance(given, dict) else None
    return show(name) if isinstance(name, str) else None


def _describe_redirect(answer: httpx.Response) -> str:
    place = show(answer.headers.get("location", ""), 200)
    return (
        f"it answers {answer.status_code} and redirects to {place}, which is not followed: set SLURMRESTD_URL to that"
    )


def _problem(answer: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Return the first error of an answer: Slurm's number and text; the text is None for a success."""
    complaints = answer.get("errors")
    if complaints:
        first = complaints[0] if isinstance(complaints, list) else complaints
        details = first if isinstance(first, dict) else {"error": first}
        text = ": ".join(str(part)[:_MOST_TEXT] for part in (details.get("description"), details.get("error")) if part)
        return _number(details.get("error_number")), show(text, _MOST_TEXT) or "it gives no reason"
    # The cancellation of a job reports errors in another field.
    status = answer.get("status")
    error = status[0].get("error") if isinstance(status, list) and status and isinstance(status[0], dict) else None
    code = _number(error.get("code")) if isinstance(error, dict) else None
    if isinstance(error, dict) and code:
        return code, show(str(error.get("message") or error.get("string")), _MOST_TEXT)
    return None, None


def _number(given: object) -> int | None:
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _warnings(answer: Mapping[str, Any]) -> list[str]:
    found = answer.get("warnings")
    texts = [each.get("description") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [show(text, 300) for text in texts if isinstance(text, str)]
