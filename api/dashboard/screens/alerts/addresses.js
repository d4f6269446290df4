// Builds channel addresses from their parts.

/**
 * A field of a channel kind: name, whether it is required, and whether it is secret.
 * @typedef {object} AddressField
 * @property {string} name
 * @property {boolean} [required]
 * @property {boolean} [secret]
 * @property {string} [example]
 * @property {string[]} [choices] choices instead of a text field
 * @property {boolean} [wide]
 */
/**
 * @typedef {object} AddressKind
 * @property {"apprise"|"webhook"} kind kind in the API
 * @property {import("../../ui/icons.js").IconName} sign
 * @property {string[]} schemes URL schemes of this kind
 * @property {AddressField[]} fields
 * @property {(values: Record<string, string>) => string} address throws a RangeError if a pasted address is of another kind
 */

const safe = encodeURIComponent;

/** The last parts of the path of a pasted address. @param {string} text @param {number} count @returns {string[]} */
function lastParts(text, count) {
  const parts = text.split(/[?#]/)[0].split("/").filter(Boolean);
  // At least the scheme and the host come before them.
  if (parts.length < count + 2) throw new RangeError("address");
  return parts.slice(-count);
}

/** @param {Record<string, string>} values */
function mailAddress({ host, port, user, password, from, to, security }) {
  const who = user ? `${safe(user)}${password ? `:${safe(password)}` : ""}@` : "";
  const options = new URLSearchParams({ to, ...(from && { from }) });
  if (security !== "none") options.set("mode", security);
  return `${security === "none" ? "mailto" : "mailtos"}://${who}${host}${port ? `:${port}` : ""}/?${options}`;
}

/** @type {Record<string, AddressKind>} */
export const ADDRESS_KINDS = {
  email: {
    kind: "apprise",
    sign: "mail",
    schemes: ["mailto", "mailtos"],
    fields: [
      { name: "to", required: true, example: "me@example.org", wide: true },
      { name: "host", required: true, example: "smtp.example.org" },
      { name: "security", choices: ["starttls", "ssl", "none"] },
      { name: "port", example: "587" },
      { name: "user" },
      { name: "password", secret: true },
      { name: "from", example: "gpu@example.org" },
    ],
    address: mailAddress,
  },
  telegram: {
    kind: "apprise",
    sign: "send",
    schemes: ["tgram"],
    fields: [
      { name: "token", required: true, secret: true, example: "123456789:AAF…", wide: true },
      { name: "chat", required: true, example: "-1001234567890" },
    ],
    address: ({ token, chat }) => `tgram://${token}/${safe(chat)}`,
  },
  discord: {
    kind: "apprise",
    sign: "chat",
    schemes: ["discord"],
    fields: [{ name: "hook", required: true, secret: true, wide: true }],
    address: ({ hook }) => `discord://${lastParts(hook, 2).join("/")}`,
  },
  slack: {
    kind: "apprise",
    sign: "chat",
    schemes: ["slack"],
    fields: [{ name: "hook", required: true, secret: true, wide: true }],
    address: ({ hook }) => `slack://${lastParts(hook, 3).join("/")}`,
  },
  ntfy: {
    kind: "apprise",
    sign: "bell",
    schemes: ["ntfy", "ntfys"],
    fields: [
      { name: "topic", required: true, secret: true, wide: true },
      { name: "server", example: "ntfy.sh" },
      { name: "token", secret: true },
    ],
    address: ({ topic, server, token }) =>
      `ntfys://${token ? `${safe(token)}@` : ""}${server || "ntfy.sh"}/${safe(topic)}`,
  },
  webhook: {
    kind: "webhook",
    sign: "hook",
    schemes: ["http", "https"],
    fields: [{ name: "url", required: true, wide: true }],
    address: ({ url }) => url,
  },
  apprise: {
    kind: "apprise",
    sign: "send",
    schemes: [],
    fields: [{ name: "url", required: true, secret: true, example: "matrixs://user:password@host/#room", wide: true }],
    address: ({ url }) => url,
  },
};

/** The kind of a channel, by its masked address. @param {string} address */
export function kindOf(address) {
  const scheme = address.split(":")[0];
  return Object.keys(ADDRESS_KINDS).find((name) => ADDRESS_KINDS[name].schemes.includes(scheme)) ?? "apprise";
}

/** Generates a key for signing webhooks. */
export function newSigningKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `whsec_${btoa(String.fromCharCode(...bytes))}`;
}
