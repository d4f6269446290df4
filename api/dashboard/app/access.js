// Who one is here, and what one may do.

import { api } from "./api.js";
import { t } from "./i18n.js";
import { permissionWord } from "./refusal.js";
import { Store } from "./store.js";

/**
 * What is known of it.
 * @typedef {object} Access
 * @property {boolean} asks whether the service asks who one is: where it does not, everybody may do everything
 * @property {string|null} oidc where one signs in by OpenID Connect
 * @property {API.WhoAmI|null} who is signed in
 */

/** Null before the service has said. */
export const access = new Store(/** @type {Access|null} */ (null));

/** Asks whether one has to sign in, and who one is. Throws Refused or Unreachable. */
export async function learnAccess() {
  const { auth, oidc } = await api.ways();
  const asks = auth === "required";
  access.set({ asks, oidc, who: null });
  if (asks) signIn(await api.whoami());
}

/** @param {API.WhoAmI|null} who is signed in from now on; null: nobody */
export function signIn(who) {
  access.set({ asks: true, oidc: access.value?.oidc ?? null, who });
}

/** Whether who is signed in has this permission; so has everybody where nobody is asked. @param {API.Permission} permission */
export const has = (permission) => access.value?.who?.permissions.includes(permission) ?? true;

/**
 * Why this may not be done, in words; null when it may, or when only the service knows.
 * @param {API.Permission} permission
 * @param {string|null} [owner] whom the thing belongs to; null: nobody; undefined: it belongs to none, or is not known
 */
export function whyNot(permission, owner) {
  const who = access.value?.who;
  if (!who) return null;
  if (!who.permissions.includes(permission)) return t("may.not", { what: permissionWord(permission) });
  if (owner === undefined || owner === who.user_id || who.permissions.includes("tasks:write_any")) return null;
  return owner === null ? t("may.not.nobody") : t("may.not.owner", { owner });
}
