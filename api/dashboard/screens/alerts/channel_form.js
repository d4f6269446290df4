// A channel by a form: made, or changed. Its address is written, and never shown again.

import { Refused } from "../../app/api.js";
import { alertApi } from "../../app/api_alerts.js";
import { t, word } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { newId } from "./actions.js";
import { ADDRESS_KINDS, kindOf, newSigningKey } from "./addresses.js";
import { channelSettings } from "./channel_settings.js";
import { choiceField, field } from "./fields.js";

/** Asks and makes, or changes; gives the channel, or null. @param {API.Channel|null} channel @returns {Promise<API.Channel|null>} */
export function askForChannel(channel) {
  return new Promise((resolve) => {
    /** @type {API.Channel|null} */
    let kept = null;
    let once = newId();
    const name = h("input", {
      class: "input",
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
    const problem = h("div", { role: "alert" });
    const button = h(
      "button",
      { class: "button primary", type: "submit" },
      icon("save"),
      t(channel ? "save" : "channel.make"),
    );
    const title = channel ? t("channel.change.title", { name: channel.name }) : t("channel.new");

    async function keep() {
      const body = { name: name.value.trim(), ...address.values(), ...settings.values() };
      return channel
        ? alertApi.changeChannel(channel.channel_id, body)
        : alertApi.makeChannel(/** @type {API.ChannelWish} */ (body), once);
    }

    const dialog = openDialog(
      title,
      (close) => {
        const submit = async (/** @type {Event} */ event) => {
          event.preventDefault();
          button.disabled = true;
          try {
            kept = await keep();
            toast("ok", t("channel.kept", { name: kept.name }));
            close();
          } catch (error) {
            address.mark(error);
            fill(
              problem,
              note(
                "bad",
                h(
                  "p",
                  { class: "foreign" },
                  error instanceof RangeError ? t("channel.hook.wrong") : refusalWords(error),
                ),
              ),
            );
            problem.scrollIntoView({ block: "nearest" });
          } finally {
            button.disabled = false;
          }
        };
        return h(
          "form",
          {
            class: "inside",
            on: {
              submit,
              input: () => {
                once = newId();
              },
            },
          },
          h("h2", {}, title),
          field(t("name"), name, t("channel.name.form")),
          address.element,
          settings.element,
          problem,
          h(
            "div",
            { class: "choices" },
            h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
            button,
          ),
        );
      },
      "channel-dialog",
      true,
    );
    dialog.addEventListener("close", () => resolve(kept));
  });
}

/** Where it leads. Of one that is there nothing is shown; what is left empty stays as it is. @param {API.Channel|null} channel */
function addressPart(channel) {
  const names = Object.keys(ADDRESS_KINDS);
  const kinds = choiceField(
    "channel-kind",
    names.map((name) => [name, word("channel.kind", name)]),
    channel ? kindOf(channel.address) : "email",
  );
  const place = h("div", { class: "pair wide address-fields" });
  const format = choiceField(
    "channel-format",
    [
      ["alertmanager", t("channel.format.alertmanager")],
      ["plain", t("channel.format.plain")],
    ],
    channel?.webhook_format,
  );
  const key = h("input", {
    class: "input mono",
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
        return field(word("address", each.name), input, hint, each.wide ? "whole" : "");
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

  /** Marks the address when it was refused. @param {unknown} error */
  function mark(error) {
    const pointers = error instanceof Refused ? error.errors.map(({ pointer }) => pointer) : [];
    const isWrong = error instanceof RangeError || pointers.includes("/url");
    for (const input of inputs.values()) input.classList.toggle("wrong", isWrong);
    key.classList.toggle("wrong", pointers.includes("/signing_key"));
  }

  return {
    element: h(
      "fieldset",
      { class: "stack" },
      h("legend", { class: "visually-hidden" }, t("channel.address")),
      field(t("channel.kind"), kinds),
      note(
        "idle",
        h("p", {}, t(channel ? "channel.address.kept" : "channel.address.once", { address: channel?.address ?? "" })),
      ),
      place,
    ),
    values,
    mark,
  };
}

/** @param {import("./addresses.js").AddressField} of @param {boolean} isKept */
function addressInput({ name, required, secret, example, choices }, isKept) {
  const id = `address-${name}`;
  if (choices)
    return choiceField(
      id,
      choices.map((value) => [value, word("address.security", value)]),
    );
  return h("input", {
    class: "input",
    id,
    type: secret ? "password" : "text",
    autocomplete: secret ? "new-password" : "off",
    spellcheck: "false",
    required: required && !isKept,
    placeholder: isKept ? t("channel.unchanged") : example,
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
    "div",
    { class: "field whole" },
    h(
      "div",
      { class: "editor-head" },
      h("label", { for: key.id, class: "label" }, t("channel.key")),
      h("button", { class: "button small", type: "button", on: { click: make } }, icon("key"), t("channel.key.make")),
    ),
    key,
    h("p", { class: "faint tiny" }, t("channel.key.hint")),
  );
}
