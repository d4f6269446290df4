"""Keys, users and the audit, through the generated client."""

from tests.clients.walking import Walk


def manage_keys(walk: Walk) -> None:
    wanted = walk.body("GenerateKey", {"user_id": "anna", "role": "trainer", "quota": {"gpus": 2}})
    made = walk.call("generate_key", body=wanted, expected=201, idempotency_key="key")
    walk.call("log_in", body=walk.body("LogIn", {"key": made.api_key}))
    assert [key.key_id for key in walk.call("list_keys", user_id="anna").keys] == [made.key_id]
    assert walk.call("get_key", made.key_id).state.value == "active"
    rotated = walk.call("rotate_key", made.key_id, body=walk.body("RotateKey", {}), expected=201)
    assert walk.call("revoke_key", rotated.key_id).state.value == "revoked"
    assert [user.quota.gpus for user in walk.call("list_users").users if user.user_id == "anna"] == [2]
    change = walk.body("ChangeUser", {"quota": {"gpus": None}})
    assert walk.call("change_user", "anna", body=change).quota.gpus is None
    assert walk.call("get_whoami").auth == "required"
    assert walk.call("create_ticket").ticket
    walk.call("log_out")
    assert walk.call("list_audit", operation="generate-key").entries[0].actor == "admin"
    assert walk.call("verify_audit").ok
    assert walk.call("list_sign_in_methods").auth == "required"
    # No sign-in provider is configured.
    walk.call("start_oidc_login", expected=404)
    walk.call("finish_oidc_login", expected=404)
