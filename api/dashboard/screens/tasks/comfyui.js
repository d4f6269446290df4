// Saved models in ComfyUI's directory of LoRAs, and their previews.

import { whyNot } from "../../app/access.js";
import { api, previewURL } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { attempt, toast } from "../../ui/toast.js";

/** The saved model to which a file belongs, or null. @param {string} path */
const modelOf = (path) => /(?:^|\/)((?:epoch|step)\d+)\/[^/]+\.safetensors$/.exec(path)?.[1] ?? null;

/** @param {string} taskId @param {() => unknown} changed called after a model was linked or unlinked */
export function comfyModels(taskId, changed) {
  /** @type {API.ComfyLinks} */
  let found = { links: [], urls: [], previews: [] };

  /** @param {string} checkpoint @param {string} url */
  async function link(checkpoint, url) {
    const made = await api.linkIntoComfy(taskId, checkpoint, url);
    toast("ok", t("comfy.linked", { file: made.file_name }));
    await changed();
  }

  /** @param {API.ComfyLink} linked */
  async function unlink({ checkpoint, file_name: file }) {
    await api.unlinkFromComfy(taskId, checkpoint);
    toast("ok", t("comfy.unlinked", { file }));
    await changed();
  }

  return {
    /** Other than before if something was linked. */
    get state() {
      return JSON.stringify(found);
    },
    /** Whether there is a ComfyUI. */
    get isThere() {
      return found.urls.length > 0;
    },
    async load() {
      found = await api.comfyLinks(taskId).catch(() => found);
    },
    /** Null if there is no ComfyUI, or the file is no saved model. @param {API.Task} task @param {string} path */
    button(task, path, size = "small") {
      const checkpoint = modelOf(path);
      if (!checkpoint || !this.isThere) return null;
      const denied = whyNot("training:write", task.owner);
      const linked = found.links.find((each) => each.checkpoint === checkpoint);
      if (linked) {
        const button = actionButton(size, denied, () => unlink(linked), icon("send"), t("comfy.unlink"));
        button.title ||= linked.file_name;
        return button;
      }
      const ask = () => {
        if (found.urls.length === 1) return link(checkpoint, found.urls[0]);
        const choices = found.urls.map((url) => ({
          label: url,
          icon: /** @type {const} */ ("send"),
          run: () => void attempt(() => link(checkpoint, url)),
        }));
        return openMenu(button, choices);
      };
      const button = actionButton(size, denied, ask, icon("send"), t("comfy.link"));
      return button;
    },
    /** Null if it has no samples. @param {string} path */
    preview(path) {
      const checkpoint = modelOf(path);
      if (!checkpoint || !found.previews.includes(checkpoint)) return null;
      return h(
        "a.download.small",
        { href: previewURL(taskId, checkpoint), download: "", title: t("comfy.preview.help") },
        icon("image"),
        t("comfy.preview"),
      );
    },
  };
}
