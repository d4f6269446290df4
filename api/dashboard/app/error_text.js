// Messages for rejected requests.

import { duration } from "../ui/format.js";
import { Refused, Unreachable } from "./api.js";
import { errorText, labelFor, t, translate } from "./i18n.js";

/** Default if the service sends no Retry-After, in seconds. */
const SOME_SECONDS = 60;

/** @typedef {(refused: Refused) => string} Message */

/** Messages for codes about which the page knows more than the service's message. @type {Record<string, Message>} */
const MESSAGES = {
  forbidden: (refused) => lacking(refused),
  quota_exceeded: (refused) => `${plainText(refused)} ${t("refused.quota")}`,
  rate_limited: ({ retryAfter }) => t("refused.rate_limited", { time: duration(retryAfter ?? SOME_SECONDS) }),
};

/** @param {unknown} error @returns {string} */
export function refusalText(error) {
  if (error instanceof Unreachable) return t("error.unreachable");
  if (error instanceof Refused) return (MESSAGES[error.code] ?? plainText)(error);
  return error instanceof Error ? error.message : String(error);
}

/** @type {Message} */
function plainText({ code, message, errors }) {
  return errorText(
    code,
    // The general message only announces the others.
    code === "validation_failed" && errors.length ? "" : message,
    errors.flatMap((each) => [
      translate(each.message, each.message_code),
      ...(each.remedy ? [translate(each.remedy, each.remedy_code)] : []),
    ]),
  );
}

/** @type {Message} */
function lacking(refused) {
  const { missing_permission: one, missing_permissions: several } =
    /** @type {{missing_permission?: string, missing_permissions?: string[]}} */ (refused.data ?? {});
  const missing = several ?? (one ? [one] : []);
  return missing.length ? t("may.not", { what: missing.map(permissionLabel).join(", ") }) : plainText(refused);
}

/** What a permission allows. @param {string} permission */
export const permissionLabel = (permission) => labelFor("permission", permission.replace(":", "."));
