"""Helpers for the tests of `/auth`: keys and how they are sent."""

from typing import Any

import httpx

from api.util.text.key_format import KEY
from tests.api.client import Client

AUTH = "/api/v1/auth"
ANNA = {"user_id": "anna", "role": "trainer"}

Headers = dict[str, str]


def id_of(headers: Headers) -> str:
    found = KEY.fullmatch(headers["Authorization"].removeprefix("Bearer "))
    assert found is not None
    return found["key_id"]


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def whoami(client: Client, headers: Headers) -> int:
    return client.get(f"{AUTH}/whoami", headers=headers).status_code


def sign_in(client: Client, key: Headers, scheme: str = "http") -> Headers:
    """Return the browser's headers after signing in with this key."""
    answer = client.post(
        f"{scheme}://127.0.0.1{AUTH}/login", json={"key": key["Authorization"].removeprefix("Bearer ")}
    )
    assert answer.status_code == 200, answer.text
    # The client's own cookies would be sent with every later request.
    client._http.cookies.clear()
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0], "Origin": "http://127.0.0.1"}
