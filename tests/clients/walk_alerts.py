"""Alerts, and what they are made by and told through, by the made client."""

from datetime import UTC, datetime, timedelta

from tests.clients.walking import Walk


def handle_alerts(walk: Walk) -> None:
    bound = {"metric": "temperature_gpu", "comparison": "above", "value": 200}
    rule = {"rule_id": "hot", "title": "hot", "scope": "gpu", "summary": "{gpu}", **bound}
    made = walk.call("post_alerts_make_rule", body=walk.body("MakeRule", rule), expected=201).rule
    assert made.when == ["temperature_gpu > 200"]
    assert walk.call("get_alerts_get_rule", "hot").severity.value == "warning"
    change = walk.body("ChangeRule", {"enabled": False})
    assert not walk.call("patch_alerts_change_rule", "hot", body=change).rule.enabled
    assert "gpu_lost" in [each.rule_id for each in walk.call("get_alerts_list_rules").rules]
    walk.call("delete_alerts_delete_rule", "hot")
    assert walk.call("get_alerts_list_metrics").metrics
    wanted = {"name": "hook", "kind": "webhook", "url": "https://8.8.8.8/x", "enabled": False}
    channel = walk.call("post_alerts_make_channel", body=walk.body("MakeChannel", wanted), expected=201).channel_id
    assert walk.call("get_alerts_get_channel", channel).address == "https://8.8.8.8/…"
    walk.call("patch_alerts_change_channel", channel, body=walk.body("ChangeChannel", {"per_hour": 7}))
    walk.call("post_alerts_test_channel", channel, expected=409)
    assert [each.per_hour for each in walk.call("get_alerts_list_channels").channels] == [7]
    walk.call("delete_alerts_delete_channel", channel)
    until_ = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    quiet = {"matchers": [{"label": "rule", "value": "hot"}], "until": until_, "comment": "x"}
    silence = walk.call("post_alerts_make_silence", body=walk.body("MakeSilence", quiet), expected=201).silence_id
    assert [each.silence_id for each in walk.call("get_alerts_list_silences").silences] == [silence]
    walk.call("delete_alerts_end_silence", silence)
    assert walk.call("get_alerts_list_alerts").counts.firing >= 0
    walk.call("get_alerts_list_deliveries")
    # None of this name has fired here.
    walk.call("get_alerts_get_alert", "alert_none", expected=404)
    walk.call("post_alerts_acknowledge_alert", "alert_none", body=walk.body("Acknowledge", {}), expected=404)
    walk.call("delete_alerts_withdraw_acknowledgement", "alert_none", expected=404)
