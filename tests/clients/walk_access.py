"""Keys, people and the audit, through the made client."""

from tests.clients.walking import Walk


def manage_keys(walk: Walk) -> None:
    wanted = walk.body("GenerateKey", {"user_id": "anna", "role": "trainer", "quota": {"gpus": 2}})
    made = walk.call("post_auth_generate_key", body=wanted, expected=201, idempotency_key="key")
    walk.call("post_auth_log_in", body=walk.body("LogIn", {"key": made.api_key}))
    assert [key.key_id for key in walk.call("get_auth_list_keys", user_id="anna").keys] == [made.key_id]
    assert walk.call("get_auth_get_key", made.key_id).state.value == "active"
    rotated = walk.call("post_auth_rotate_key", made.key_id, body=walk.body("RotateKey", {}), expected=201)
    assert walk.call("delete_auth_revoke_key", rotated.key_id).state.value == "revoked"
    assert [user.quota.gpus for user in walk.call("get_auth_list_users").users if user.user_id == "anna"] == [2]
    change = walk.body("ChangeUser", {"quota": {"gpus": None}})
    assert walk.call("patch_auth_change_user", "anna", body=change).quota.gpus is None
    assert walk.call("get_auth_get_whoami").auth == "required"
    assert walk.call("post_auth_make_ticket").ticket
    walk.call("post_auth_log_out")
    assert walk.call("get_audit_get_audit", operation="generate-key").entries[0].actor == "admin"
    assert walk.call("get_audit_verify").ok
    assert walk.call("get_oidc_get_ways").auth == "required"
    # There is no provider to sign in by.
    walk.call("get_oidc_begin", expected=404)
    walk.call("get_oidc_finish", expected=404)
