// Who is signed in, and what that user may do.

import { api } from "./api.js";
import { permissionLabel } from "./error_text.js";
import { t } from "./i18n.js";
import { Store } from "./store.js";

/**
 * The state of sign-in.
 * @typedef {object} Access
 * @property {boolean} isRequired whether sign-in is required; if not, everybody may do everything
 * @property {string|null} oidc address for sign-in by OpenID Connect
 * @property {API.WhoAmI|null} who the signed-in user
 */

/** Null until the service has responded. */
export const access = new Store(/** @type {Access|null} */ (null));

/** Fetches whether sign-in is required, and the signed-in user. Throws Refused or Unreachable. */
export async function loadAccess() {
  const { auth, oidc } = await api.authMethods();
  const isRequired = auth === "required";
  access.set({ isRequired, oidc, who: null });
  if (isRequired) signIn(await api.whoami());
}

/** @param {API.WhoAmI|null} who the signed-in user; null: no user is signed in */
export function signIn(who) {
  access.set({ isRequired: true, oidc: access.value?.oidc ?? null, who });
}

/** Whether the user has this permission. True if sign-in is not required. @param {API.Permission} permission */
export const has = (permission) => access.value?.who?.permissions.includes(permission) ?? true;

/**
 * Why the user may not do this, as a message; null if they may, or if only the service can decide.
 * @param {API.Permission} permission
 * @param {string|null} [owner] of the resource; null: it has no owner; undefined: not applicable, or unknown
 */
export function whyNot(permission, owner) {
  const who = access.value?.who;
  if (!who) return null;
  if (!who.permissions.includes(permission)) return t("may.not", { what: permissionLabel(permission) });
  if (owner === undefined || owner === who.user_id || who.permissions.includes("tasks:write_any")) return null;
  return owner === null ? t("may.not.unowned") : t("may.not.owner", { owner });
}
