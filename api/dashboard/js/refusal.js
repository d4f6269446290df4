// What was refused, in words that say what to do.

import { Refused, Unreachable } from "./api.js";
import { duration } from "./format.js";
import { t, word } from "./i18n.js";

/** A minute, where the service does not say how long. */
const SOME_SECONDS = 60;

/** @typedef {(refused: Refused) => string} Words */

/** By code; what is not here is said in the service's words. @type {Record<string, Words>} */
const WORDS = {
  wrong_key: () => t("refused.wrong_key"),
  session_ended: () => t("refused.session_ended"),
  key_expired: () => t("refused.key_expired"),
  key_revoked: () => t("refused.key_revoked"),
  forbidden: (refused) => lacking(refused),
  not_yours: () => t("refused.not_yours"),
  cross_site: () => t("refused.cross_site"),
  quota_exceeded: (refused) => `${refused.message} ${t("refused.quota")}`,
  rate_limited: ({ retryAfter }) => t("refused.rate_limited", { time: duration(retryAfter ?? SOME_SECONDS) }),
  keys_unknown: () => t("refused.keys_unknown"),
  last_administrator: () => t("refused.last_administrator"),
};

/** @param {unknown} error @returns {string} */
export function refusalWords(error) {
  if (error instanceof Unreachable) return t("error.unreachable");
  if (error instanceof Refused)
    return (
      WORDS[error.code]?.(error) ??
      [error.message, ...error.errors.flatMap(({ message, remedy }) => (remedy ? [message, remedy] : [message]))].join(
        " ",
      )
    );
  return error instanceof Error ? error.message : String(error);
}

/** @type {Words} */
function lacking({ message, data }) {
  const { missing_permission: one, missing_permissions: several } =
    /** @type {{missing_permission?: string, missing_permissions?: string[]}} */ (data ?? {});
  const missing = several ?? (one ? [one] : []);
  return missing.length ? t("may.not", { what: missing.map(permissionWord).join(", ") }) : message;
}

/** What a permission is for. @param {string} permission */
export const permissionWord = (permission) => word("permission", permission.replace(":", "."));
