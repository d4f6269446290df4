"""Routes of alerts, rules, silences, channels and deliveries."""

from apiflask import APIBlueprint
from flask import Response

from api.alerts.channel_schemas import (
    ChangeChannel,
    ChannelList,
    CreateChannel,
    DeliveryList,
    DeliveryQuery,
    QueuedTest,
)
from api.alerts.rules.measurable import METRICS
from api.alerts.schemas import (
    Acknowledge,
    AlertList,
    AlertQuery,
    ChangeRule,
    CreateRule,
    CreateSilence,
    MetricList,
    RuleList,
    RuleQuery,
    RuleResult,
    SilenceList,
    SilenceQuery,
)
from api.alerts.views import AlertDetailView, AlertView, ChannelView, RuleView, SilenceView
from api.domain.access.principal import current_principal
from api.domain.access.read_scope import current_scope
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, body_is_optional, services
from api.web.schemas import PageQuery, envelope_of, utc

alerts = APIBlueprint("alerts", __name__, url_prefix=f"{BASE_PATH}/alerts", tag="Alerts")


@alerts.get("")
@alerts.input(AlertQuery, location="query")
@alerts.output(envelope_of(AlertList))
@alerts.doc(responses=[422, 503])
def list_alerts(query_data: AlertQuery) -> Response:
    """List alerts, newest first.

    `counts` contains the number of open alerts by state. All filters must match. A firing alert that is acknowledged or
    silenced is listed under that state.
    """
    service = services().alerts.service
    page = service.get_page(query_data.criteria(current_scope.get().only_of, services().clock.now()), query_data.page())
    return answer({"alerts": page.rows, "counts": service.count(), "pagination": page.pagination})


@alerts.get("/<alert_id>")
@alerts.output(envelope_of(AlertDetailView))
@alerts.doc(responses=[404, 503])
def get_alert(alert_id: str) -> Response:
    """Get an alert.

    With its history and, if you may manage channels, with its deliveries.
    """
    return answer(services().alerts.service.get(alert_id, current_principal.get()))


@alerts.post("/<alert_id>/acknowledge")
@alerts.input(Acknowledge)
@alerts.output(envelope_of(AlertView))
@alerts.doc(responses=[400, 403, 404, 409, 415, 422, 503])
@body_is_optional
def acknowledge_alert(alert_id: str, json_data: Acknowledge) -> Response:
    """Acknowledge an alert.

    Its notification is not repeated until it ends, `until` is over, or it becomes more severe. Its end is still
    notified. Without `alerts:manage` you can acknowledge only alerts about your own tasks, keys and quotas.
    """
    until = None if json_data.until is None else utc(json_data.until)
    acknowledged = services().alerts.service.acknowledge(alert_id, until, json_data.comment, current_principal.get())
    return answer(acknowledged, message="acknowledged")


@alerts.delete("/<alert_id>/acknowledge")
@alerts.output(envelope_of(AlertView))
@alerts.doc(responses=[403, 404, 409, 503])
def withdraw_acknowledgement(alert_id: str) -> Response:
    """Withdraw an acknowledgement.

    Notifications of the alert are repeated again.
    """
    return answer(services().alerts.service.withdraw(alert_id, current_principal.get()))


@alerts.get("/silences")
@alerts.input(SilenceQuery, location="query")
@alerts.output(envelope_of(SilenceList))
@alerts.doc(responses=[422, 503])
def list_silences(query_data: SilenceQuery) -> Response:
    """List silences, newest first.

    Those that have ended only with `ended=true`. If you may not see other users' tasks, only your own silences.
    """
    page = services().alerts.service.get_silences(query_data.ended, query_data.page())
    return answer({"silences": page.rows, "pagination": page.pagination})


@alerts.post("/silences")
@alerts.input(CreateSilence)
@alerts.output(envelope_of(SilenceView), status_code=201)
@alerts.doc(responses=[400, 403, 409, 415, 422, 503])
@idempotent
def create_silence(json_data: CreateSilence) -> Response:
    """Silence alerts for some time.

    Silenced alerts are evaluated, shown and stored, but no notifications are sent. Alerts that still fire at the end of
    the silence are notified then. Without `alerts:manage` you can silence only alerts about your own tasks: one matcher
    must be your `owner` name or the `task_id` of one of your tasks.
    """
    location = {"Location": f"{BASE_PATH}/alerts/silences"}
    if before := earlier_result():
        return answer(services().alerts.service.get_silence(before.about), 201, "created", location)
    return answer(
        services().alerts.service.silence(json_data.request(), current_principal.get()), 201, "created", location
    )


@alerts.delete("/silences/<silence_id>")
@alerts.output(envelope_of(SilenceView))
@alerts.doc(responses=[403, 404, 503])
def end_silence(silence_id: str) -> Response:
    """End a silence now.

    A silence that has ended stays as it is. Without `alerts:manage` you can end only your own silences.
    """
    return answer(services().alerts.service.end_silence(silence_id, current_principal.get()), message="ended")


@alerts.get("/rules")
@alerts.input(RuleQuery, location="query")
@alerts.output(envelope_of(RuleList))
@alerts.doc(responses=[422, 503])
def list_rules(query_data: RuleQuery) -> Response:
    """List the rules.

    First the built-in rules, then custom rules.
    """
    page = services().alerts.rules.get_page(query_data.scope, query_data.enabled, query_data.page())
    return answer({"rules": page.rows, "pagination": page.pagination})


@alerts.post("/rules")
@alerts.input(CreateRule)
@alerts.output(envelope_of(RuleResult), status_code=201)
@alerts.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_rule(json_data: CreateRule) -> Response:
    """Create a rule.

    It takes effect immediately.
    """
    rules, before = services().alerts.rules, earlier_result()
    rule = rules.get(before.about) if before else rules.add(json_data.rule(), current_principal.get())
    return answer({"rule": rule}, 201, "created", {"Location": f"{BASE_PATH}/alerts/rules/{rule.rule_id}"})


@alerts.get("/rules/<rule_id>")
@alerts.output(envelope_of(RuleView))
@alerts.doc(responses=[404, 503])
def get_rule(rule_id: str) -> Response:
    """Get a rule.

    A built-in rule includes the changes that were made to it.
    """
    return answer(services().alerts.rules.get(rule_id))


@alerts.patch("/rules/<rule_id>")
@alerts.input(ChangeRule)
@alerts.output(envelope_of(RuleResult))
@alerts.doc(responses=[400, 404, 415, 422, 503])
def change_rule(rule_id: str, json_data: ChangeRule) -> Response:
    """Change a rule.

    Of a built-in rule, you can change `enabled`, `value` (its threshold), `for_seconds`, `clear_seconds`, `severity`,
    `labels` and `actions`.
    """
    changed = services().alerts.rules.change(rule_id, json_data.changes(), current_principal.get())
    return answer({"rule": changed})


@alerts.delete("/rules/<rule_id>")
@alerts.output(envelope_of(RuleView))
@alerts.doc(responses=[404, 503])
def delete_rule(rule_id: str) -> Response:
    """Delete a custom rule, or reset a built-in rule.

    Alerts of a deleted rule are resolved.
    """
    return answer(services().alerts.rules.delete(rule_id), message="deleted")


@alerts.get("/metrics")
@alerts.output(envelope_of(MetricList))
def list_rule_metrics() -> Response:
    """List the metrics that rules can use.

    Every metric has a scope and a unit, and shows whether its last 24 h are stored.
    """
    return answer({"metrics": METRICS})


@alerts.get("/channels")
@alerts.input(PageQuery, location="query")
@alerts.output(envelope_of(ChannelList))
@alerts.doc(responses=[422, 503])
def list_channels(query_data: PageQuery) -> Response:
    """List channels, newest first.

    Their addresses are masked.
    """
    page = services().alerts.channels.get_page(query_data.page(), current_principal.get())
    return answer({"channels": page.rows, "pagination": page.pagination})


@alerts.post("/channels")
@alerts.input(CreateChannel)
@alerts.output(envelope_of(ChannelView), status_code=201)
@alerts.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_channel(json_data: CreateChannel) -> Response:
    """Create a channel.

    Either e-mail, SMS or chat by an Apprise URL, or a signed webhook with Alertmanager's JSON. An address that leads to
    a private host is rejected unless PRIVATE_HOSTS_ALLOWED lists it.
    """
    channels, before, principal = services().alerts.channels, earlier_result(), current_principal.get()
    channel = channels.get(before.about, principal) if before else channels.add(json_data.request(), principal)
    return answer(channel, 201, "created", {"Location": f"{BASE_PATH}/alerts/channels/{channel.channel_id}"})


@alerts.get("/channels/<channel_id>")
@alerts.output(envelope_of(ChannelView))
@alerts.doc(responses=[404, 503])
def get_channel(channel_id: str) -> Response:
    """Get a channel.

    With its recent failures and, if you may manage channels, their reasons.
    """
    return answer(services().alerts.channels.get(channel_id, current_principal.get()))


@alerts.patch("/channels/<channel_id>")
@alerts.input(ChangeChannel)
@alerts.output(envelope_of(ChannelView))
@alerts.doc(responses=[400, 404, 409, 415, 422, 503])
def change_channel(channel_id: str, json_data: ChangeChannel) -> Response:
    """Change a channel.

    A new `url` replaces the old one. Enabling a disabled channel resets its failures.
    """
    changes, settings = json_data.changes(), json_data.settings()
    return answer(services().alerts.channels.change(channel_id, changes, settings, current_principal.get()))


@alerts.delete("/channels/<channel_id>")
@alerts.output(envelope_of(ChannelView))
@alerts.doc(responses=[404, 503])
def delete_channel(channel_id: str) -> Response:
    """Delete a channel.

    Its address is deleted, too. Its pending deliveries are not sent.
    """
    return answer(services().alerts.channels.delete(channel_id, current_principal.get()), message="deleted")


@alerts.post("/channels/<channel_id>/test")
@alerts.output(envelope_of(QueuedTest), status_code=202)
@alerts.doc(responses=[404, 409, 429, 503])
def test_channel(channel_id: str) -> Response:
    """Send a test message.

    At most once a minute; `GET /alerts/deliveries?channel_id=` shows its result. The request has no body.
    """
    delivery_id = services().alerts.channels.test(channel_id)
    location = {"Location": f"{BASE_PATH}/alerts/deliveries?channel_id={channel_id}"}
    return answer({"delivery_id": delivery_id}, 202, "queued", location)


@alerts.get("/deliveries")
@alerts.input(DeliveryQuery, location="query")
@alerts.output(envelope_of(DeliveryList))
@alerts.doc(responses=[422, 503])
def list_deliveries(query_data: DeliveryQuery) -> Response:
    """List deliveries, newest first.

    Each with its attempts, the receiver's response, and the time of the next attempt.
    """
    page = services().alerts.channels.get_deliveries(query_data.criteria(), query_data.page())
    return answer({"deliveries": page.rows, "pagination": page.pagination})
