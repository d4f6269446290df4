"""Users and their quotas over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from api.domain.access.principal import Role
from tests.api.auth.keys import AUTH, Headers, id_of
from tests.api.client import Client, failure_of


def test_users_are_listed_with_quota_and_keys(client: Client, admin: Headers, key: Callable[..., Headers]):
    key(user_id="anna", role=Role.VIEWER)
    old = key(user_id="anna", role=Role.VIEWER, quota={"gpus": 2})
    client.delete(f"{AUTH}/keys/{id_of(old)}", headers=admin)
    users = client.data(f"{AUTH}/users", headers=admin)["users"]
    assert [(user["user_id"], user["active_keys"]) for user in users] == [("anna", 1), ("root", 1)]
    assert users[0]["quota"]["gpus"] == 2


def test_only_the_given_bounds_of_a_quota_change(client: Client, admin: Headers, key: Callable[..., Headers]):
    anna = key(user_id="anna", role=Role.VIEWER, quota={"gpus": 2, "storage_gb": 10.5})
    body = {"quota": {"gpus": None, "queued_tasks": 5}}
    quota = client.patch(f"{AUTH}/users/anna", json=body, headers=admin).json()["data"]["quota"]
    assert quota == {"gpus": None, "queued_tasks": 5, "gpu_hours_per_day": None, "storage_gb": 10.5}
    assert client.data(f"{AUTH}/whoami", headers=anna)["quota"] == quota
    key(user_id="anna", role=Role.VIEWER, quota={"gpus": 1})
    assert client.data(f"{AUTH}/whoami", headers=anna)["quota"] == {**quota, "gpus": 1}


@pytest.mark.parametrize("name", ["nobody-here", "é", "x" * 3000])
def test_quota_of_an_unknown_user_is_not_found(client: Client, admin: Headers, name: str):
    answer = client.patch(f"{AUTH}/users/{name}", json={"quota": {"gpus": 1}}, headers=admin)
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "user_not_found")


@pytest.mark.parametrize("body", [{}, {"quota": None}, {"quota": {"gpus": 1.5}}, {"quota": {}, "role": "admin"}])
def test_invalid_quota_changes_are_rejected(client: Client, admin: Headers, body: dict[str, Any]):
    assert client.patch(f"{AUTH}/users/root", json=body, headers=admin).status_code == 422
