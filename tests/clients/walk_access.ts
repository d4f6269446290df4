// Keys, users and the audit.

import { api, data, refused, succeeded } from "./walk_client.js";

export async function manageKeys(): Promise<void> {
  const wanted = { user_id: "anna", role: "trainer" as const, quota: { gpus: 2 } };
  const made = data(await api.POST("/api/v1/auth/generate-key", { body: wanted }));
  if (made.api_key === null) throw new Error("the key is not shown");
  data(await api.POST("/api/v1/auth/login", { body: { key: made.api_key } }));
  data(await api.GET("/api/v1/auth/keys", { params: { query: { user_id: "anna", state: "active" } } }));
  data(await api.GET("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: made.key_id } } }));
  const params = { path: { key_id: made.key_id } };
  const rotated = data(await api.POST("/api/v1/auth/keys/{key_id}/rotate", { params, body: { overlap_seconds: 0 } }));
  data(await api.DELETE("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: rotated.key_id } } }));
  data(await api.GET("/api/v1/auth/users"));
  const user = { path: { user_id: "anna" } };
  data(await api.PATCH("/api/v1/auth/users/{user_id}", { params: user, body: { quota: { gpus: null } } }));
  data(await api.GET("/api/v1/auth/whoami"));
  data(await api.POST("/api/v1/auth/ticket"));
  succeeded(await api.POST("/api/v1/auth/logout"));
  data(await api.GET("/api/v1/auth/audit", { params: { query: { actor: "admin" } } }));
  if (!data(await api.GET("/api/v1/auth/audit/verify")).ok) throw new Error("the audit is broken");
  data(await api.GET("/api/v1/auth/ways"));
  // No sign-in provider is configured.
  refused(await api.GET("/api/v1/auth/oidc/login"), "not_found");
  refused(await api.GET("/api/v1/auth/oidc/callback"), "not_found");
}
