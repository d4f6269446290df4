// The form of a channel. A stored address is never shown again.

import { Refused } from "../../app/api.js";
import { alertApi } from "../../app/api_alerts.js";
import { newKey } from "../../app/api_data.js";
import { refusalText } from "../../app/error_text.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { field, labelled, selectInput } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { ADDRESS_KINDS, kindOf, newSigningKey } from "./addresses.js";
import { channelSettings } from "./channel_settings.js";

/**
 * Opens the form, and creates or changes the channel. Resolves to it, or null.
 * @param {API.Channel|null} channel @returns {Promise<API.Channel|null>}
 */
export function askForChannel(channel) {
  let once = newKey();
  const name = h("input.input", {
    id: "channel-name",
    required: true,
    maxlength: 64,
    pattern: "[A-Za-z0-9_.\\-]+",
    title: t("channel.name.form"),
    value: channel?.name ?? "",
    autocomplete: "off",
    autofocus: true,
  });
  const address = addressPart(channel);
  const settings = channelSettings(channel);

  async function save() {
    const body = { name: name.value.trim(), ...address.values(), ...settings.values() };
    const saved = channel
      ? await alertApi.changeChannel(channel.channel_id, body)
      : await alertApi.makeChannel(/** @type {API.ChannelRequest} */ (body), once);
    toast("ok", t("channel.saved", { name: saved.name }));
    return saved;
  }

  return askForm({
    title: channel ? t("channel.change.title", { name: channel.name }) : t("channel.new"),
    content: [field(t("name"), name, t("channel.name.form")), address.element, settings.element],
    action: [icon("save"), t(channel ? "save" : "channel.make")],
    run: () =>
      save().catch((error) => {
        address.mark(error);
        throw error;
      }),
    changed: () => {
      once = newKey();
    },
    message: (error) => (error instanceof RangeError ? t("channel.hook.wrong") : refusalText(error)),
    className: "channel-dialog",
    isSticky: true,
  });
}

/**
 * The fields of the destination. Of an existing channel no values are shown; empty fields stay unchanged.
 * @param {API.Channel|null} channel
 */
function addressPart(channel) {
  const names = Object.keys(ADDRESS_KINDS);
  const kinds = selectInput(
    labelled("channel.kind", names),
    { id: "channel-kind" },
    channel ? kindOf(channel.address) : "email",
  );
  const place = h("div.pair.wide.address-fields");
  const format = selectInput(
    [
      ["alertmanager", t("channel.format.alertmanager")],
      ["plain", t("channel.format.plain")],
    ],
    { id: "channel-format" },
    channel?.webhook_format,
  );
  const key = h("input.input.mono", {
    id: "channel-key",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: channel ? t("channel.unchanged") : t("optional"),
    maxlength: 200,
  });
  const signing = signingPart(key);
  /** @type {Map<string, HTMLInputElement|HTMLSelectElement>} */
  let inputs = new Map();

  function draw() {
    const { fields, kind } = ADDRESS_KINDS[kinds.value];
    inputs = new Map();
    fill(
      place,
      fields.map((each) => {
        const input = addressInput(each, channel !== null);
        inputs.set(each.name, input);
        const hint = each.name === "hook" ? t("channel.hook.hint") : undefined;
        const element = field(labelFor("address", each.name), input, hint);
        element.classList.toggle("whole", Boolean(each.wide));
        return element;
      }),
      kind === "webhook" && [field(t("channel.format"), format), signing],
    );
  }
  kinds.addEventListener("change", draw);
  draw();

  function values() {
    const { kind, address } = ADDRESS_KINDS[kinds.value];
    const given = Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()]));
    const isGiven = [...inputs.values()].some((input) => input instanceof HTMLInputElement && input.value.trim());
    return {
      ...(channel ? {} : { kind }),
      ...(isGiven || !channel ? { url: address(given) } : {}),
      ...(kind === "webhook" ? { webhook_format: /** @type {"plain"} */ (format.value) } : {}),
      ...(kind === "webhook" && key.value ? { signing_key: key.value.trim() } : {}),
    };
  }

  /** Marks the address after it was rejected. @param {unknown} error */
  function mark(error) {
    const pointers = error instanceof Refused ? error.errors.map(({ pointer }) => pointer) : [];
    const isWrong = error instanceof RangeError || pointers.includes("/url");
    for (const input of inputs.values()) input.classList.toggle("wrong", isWrong);
    key.classList.toggle("wrong", pointers.includes("/signing_key"));
  }

  return {
    element: h(
      "fieldset.stack",
      h("legend.visually-hidden", t("channel.address")),
      field(t("channel.kind"), kinds),
      note(
        "idle",
        h("p", t(channel ? "channel.address.stored" : "channel.address.once", { address: channel?.address ?? "" })),
      ),
      place,
    ),
    values,
    mark,
  };
}

/** @param {import("./addresses.js").AddressField} of @param {boolean} isStored */
function addressInput({ name, required, secret, example, choices }, isStored) {
  const id = `address-${name}`;
  if (choices) return selectInput(labelled("address.security", choices), { id });
  return h("input.input", {
    id,
    type: secret ? "password" : "text",
    autocomplete: secret ? "new-password" : "off",
    spellcheck: "false",
    required: required && !isStored,
    placeholder: isStored ? t("channel.unchanged") : example,
    maxlength: 1500,
  });
}

/** @param {HTMLInputElement} key */
function signingPart(key) {
  const make = () => {
    key.value = newSigningKey();
    key.dispatchEvent(new Event("input", { bubbles: true }));
    key.select();
  };
  return h(
    "div.field.whole",
    h(
      "div.editor-head",
      h("label.label", { for: key.id }, t("channel.key")),
      h("button.button.small", { type: "button", on: { click: make } }, icon("key"), t("channel.key.make")),
    ),
    key,
    h("p.faint.tiny", t("channel.key.hint")),
  );
}
