"""The bounded transport for libraries that use `requests`: authlib, and the exporter of traces."""

import io
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import requests
from requests.adapters import BaseAdapter
from requests.utils import select_proxy

from api.util.http.bounded_answers import TimedTransport


class _BoundedAdapter(BaseAdapter):
    """Sends each request by its own connection, whose response is bounded in time and size."""

    def __init__(self, seconds: float, most_bytes: int) -> None:
        super().__init__()
        self._seconds = seconds
        self._most_bytes = most_bytes

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request through the proxy and with the certificates that the environment names.

        Raises requests.ConnectionError.
        """
        url, body = request.url or "", request.body
        context = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else None
        transport = TimedTransport(
            most_bytes=self._most_bytes, context=context, proxy=select_proxy(url, dict(proxies or {}))
        )
        try:
            with httpx.Client(transport=transport, timeout=self._seconds, trust_env=False) as client:
                content = body.encode() if isinstance(body, str) else body
                received = client.request(request.method or "GET", url, headers=dict(request.headers), content=content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise requests.ConnectionError(f"{error}", request=request) from None
        answer = requests.Response()
        answer.status_code, answer.reason, answer.url = received.status_code, received.reason_phrase, url
        answer.headers.update(received.headers)
        answer.raw, answer.request = io.BytesIO(received.content), request
        return answer

    def close(self) -> None:
        """Do nothing: no connection is kept open."""


def bound_session(session: requests.Session, seconds: float, most_bytes: int, redirects: int = 0) -> requests.Session:
    """Limit the responses of a session: seconds and bytes of each, and the redirects that it follows."""
    session.max_redirects = redirects
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter(seconds, most_bytes))
    return session
