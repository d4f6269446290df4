// What was refused, in words that say what to do.

import { duration } from "../ui/format.js";
import { Refused, Unreachable } from "./api.js";
import { errorText, t, word } from "./i18n.js";

/** A minute, where the service does not say how long. */
const SOME_SECONDS = 60;

/** @typedef {(refused: Refused) => string} Words */

/** Errors about which the page knows more than the message, by code. @type {Record<string, Words>} */
const WORDS = {
  forbidden: (refused) => lacking(refused),
  quota_exceeded: (refused) => `${plainWords(refused)} ${t("refused.quota")}`,
  rate_limited: ({ retryAfter }) => t("refused.rate_limited", { time: duration(retryAfter ?? SOME_SECONDS) }),
};

/** @param {unknown} error @returns {string} */
export function refusalWords(error) {
  if (error instanceof Unreachable) return t("error.unreachable");
  if (error instanceof Refused) return (WORDS[error.code] ?? plainWords)(error);
  return error instanceof Error ? error.message : String(error);
}

/** @type {Words} */
function plainWords({ code, message, errors }) {
  return errorText(
    code,
    message,
    errors.flatMap((each) => (each.remedy ? [each.message, each.remedy] : [each.message])),
  );
}

/** @type {Words} */
function lacking(refused) {
  const { missing_permission: one, missing_permissions: several } =
    /** @type {{missing_permission?: string, missing_permissions?: string[]}} */ (refused.data ?? {});
  const missing = several ?? (one ? [one] : []);
  return missing.length ? t("may.not", { what: missing.map(permissionWord).join(", ") }) : plainWords(refused);
}

/** What a permission is for. @param {string} permission */
export const permissionWord = (permission) => word("permission", permission.replace(":", "."));
