// Alerts, their rules and their channels.

import { api, data, refused } from "./walk_client.js";

export async function handleAlerts(): Promise<void> {
  const bound = { metric: "temperature_gpu", comparison: "above" as const, value: 200 };
  const rule = { rule_id: "hot_ts", title: "hot", scope: "gpu" as const, summary: "{gpu}", ...bound };
  data(await api.POST("/api/v1/alerts/rules", { body: rule }));
  const named = { path: { rule_id: "hot_ts" } };
  data(await api.GET("/api/v1/alerts/rules/{rule_id}", { params: named }));
  data(await api.PATCH("/api/v1/alerts/rules/{rule_id}", { params: named, body: { enabled: false } }));
  data(await api.GET("/api/v1/alerts/rules"));
  data(await api.DELETE("/api/v1/alerts/rules/{rule_id}", { params: named }));
  data(await api.GET("/api/v1/alerts/metrics"));
  const hook = { name: "hook_ts", kind: "webhook" as const, url: "https://8.8.8.8/x", enabled: false };
  const channel = data(await api.POST("/api/v1/alerts/channels", { body: hook })).channel_id;
  const through = { path: { channel_id: channel } };
  data(await api.GET("/api/v1/alerts/channels/{channel_id}", { params: through }));
  data(await api.PATCH("/api/v1/alerts/channels/{channel_id}", { params: through, body: { per_hour: 7 } }));
  refused(await api.POST("/api/v1/alerts/channels/{channel_id}/test", { params: through }), "conflict");
  data(await api.GET("/api/v1/alerts/channels"));
  data(await api.DELETE("/api/v1/alerts/channels/{channel_id}", { params: through }));
  const until = new Date(Date.now() + 86_400_000).toISOString();
  const quiet = { matchers: [{ label: "rule", value: "hot" }], until, comment: "x" };
  const silence = data(await api.POST("/api/v1/alerts/silences", { body: quiet })).silence_id;
  data(await api.GET("/api/v1/alerts/silences"));
  data(await api.DELETE("/api/v1/alerts/silences/{silence_id}", { params: { path: { silence_id: silence } } }));
  data(await api.GET("/api/v1/alerts"));
  data(await api.GET("/api/v1/alerts/deliveries"));
  const none = { path: { alert_id: "alert_none" } };
  const acknowledge = "/api/v1/alerts/{alert_id}/acknowledge" as const;
  refused(await api.GET("/api/v1/alerts/{alert_id}", { params: none }), "alert_not_found");
  refused(await api.POST(acknowledge, { params: none, body: { comment: "" } }), "alert_not_found");
  refused(await api.DELETE(acknowledge, { params: none }), "alert_not_found");
}
