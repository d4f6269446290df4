// The page: bar, banners, and the screen of the current address.

import { alertChanged, canSeeAlerts, refetchFiring } from "../screens/alerts/state.js";
import { fill, h, setAttribute } from "../ui/dom.js";
import { toast, toastError } from "../ui/toast.js";
import { access, loadAccess, signIn } from "./access.js";
import { api, isAlive, Refused, SIGNED_OUT } from "./api.js";
import { t } from "./i18n.js";
import { Keys } from "./keys.js";
import { ageOfReadings, machine, take } from "./machine.js";
import { go, place } from "./router.js";
import { recall } from "./settings.js";
import { banners } from "./shell/banners.js";
import { bar } from "./shell/bar.js";
import { openHelp } from "./shell/help.js";
import { loadAlertStyle, loadStyleOnce } from "./shell/style.js";
import { connection, Stream } from "./stream.js";

// Each module is loaded when its screen is first shown.
const SCREENS = {
  machine: () => import("../screens/machine/view.js"),
  gpu: () => import("../screens/machine/gpu.js"),
  tasks: () => import("../screens/tasks/view.js"),
  task: () => withLog(import("../screens/tasks/task.js")),
  data: () => withData(import("../screens/datasets/view.js")),
  dataset: () => withData(import("../screens/datasets/dataset.js")),
  models: () => withModels(import("../screens/models/view.js")),
  registry: () => withModels(import("../screens/registry/view.js")),
  registered: () => withModels(import("../screens/registry/registered.js")),
  start: () => withModels(import("../screens/start/view.js")),
  alerts: () => withAlerts(import("../screens/alerts/view.js")),
  access: () => import("../screens/access/view.js"),
  nodes: () => import("../screens/nodes/view.js"),
  "sign-in": () => import("../screens/sign_in/view.js"),
};

/** Loads the styles of logs, too. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withLog = async (module) => (await Promise.all([module, loadStyleOnce("log")]))[0];

/** Loads the styles of datasets, too. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withData = async (module) => (await Promise.all([module, loadStyleOnce("data")]))[0];

/**
 * Loads the styles of datasets and models, too.
 * @template Module @param {Promise<Module>} module @returns {Promise<Module>}
 */
const withModels = async (module) => (await Promise.all([withData(module), loadStyleOnce("models")]))[0];

/** Loads the styles of alerts, too. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withAlerts = async (module) => (await Promise.all([module, loadAlertStyle()]))[0];

const PRODUCT = "Diffusion-Pipe";

// Readings arrive every 5 s: after three missing ones the data is stale.
const STALE_SECONDS = 15;

/** How long a screen waits for the state of sign-in. */
const ACCESS_MS = 500;

/** States of the connection in which the service responds. */
const ANSWERS = ["live", "polling"];

/** @typedef {import("./router.js").Place} Place */

/**
 * What a screen module returns.
 * @typedef {object} Screen
 * @property {HTMLElement} element
 * @property {() => string} title
 * @property {() => string} [path] of its own stream; by default the common one
 * @property {string} [topics] topics of the common stream
 * @property {API.Listeners} on handlers of stream messages, by type
 * @property {() => Promise<void>} refetch
 * @property {import("./keys.js").Bindings} [keys]
 * @property {boolean} [isQuiet] whether it needs neither requests nor a stream
 * @property {() => void} [shown] called when it is in the document
 * @property {() => void} close
 */

/** The parts of a screen that the stream needs. @typedef {Pick<Screen, "path"|"topics"|"on"|"refetch">} Watched */

/** Until the first screen is loaded. @type {Watched} */
const NO_SCREEN = { topics: "gpu,system", on: {}, refetch: async () => {} };

export class App {
  /** The route of the address. While its screen loads, the previous one is still shown. @type {Place} */
  #wanted = place();
  /** Consecutive failures to load the requested screen. */
  #failures = 0;
  /** Whether the service responded that no user is signed in. */
  #isOut = false;
  /** The screen for which missing permissions were reported. @type {Watched|null} */
  #deniedScreen = null;
  /** The error at that time; null after the user signed out. @type {unknown} */
  signedOutBy = null;

  /** @param {Element} root */
  constructor(root) {
    this.stream = new Stream();
    this.keys = new Keys();
    this.main = h("main", { id: "main", tabindex: -1 });
    this.bar = bar(this);
    this.banners = banners(this);
    /** @type {Screen|null} */
    this.screen = null;
    fill(
      root,
      h("a", { class: "skip", href: "#main", on: { click: (event) => this.#skip(event) } }, t("skip")),
      this.bar.element,
      this.banners.element,
      this.main,
    );
    this.keys.bind({
      "?": () => openHelp(),
      "g m": () => go("/"),
      "g t": () => go("/tasks"),
      "g d": () => go("/data"),
      "g o": () => go("/models"),
      "g n": () => go("/start"),
      "g l": () => go("/alerts"),
      b: () => this.bar.openBell(),
      "g a": () => go("/access"),
      "/": () => /** @type {HTMLElement|null} */ (document.querySelector("[data-search]"))?.focus(),
    });
    addEventListener("hashchange", () => this.#show());
    addEventListener(SIGNED_OUT, (event) => this.signedOut(/** @type {CustomEvent} */ (event).detail));
    connection.watch(({ state }) => {
      if (!ANSWERS.includes(state)) return;
      if (this.#failures) this.#show();
      if (!access.value) loadAccess().catch(() => {});
    });
    this.#begin();
  }

  async #begin() {
    // Preload the requested screen. A slow service must not delay the sign-in.
    SCREENS[place().name]().catch(() => {});
    const late = new Promise((resolve) => setTimeout(resolve, ACCESS_MS));
    await Promise.race([loadAccess().catch(() => {}), late]);
    if (!this.#isOut) this.#show();
  }

  /** Continues to the requested screen after sign-in. @param {API.WhoAmI} who */
  signedIn(who) {
    this.#isOut = false;
    this.signedOutBy = null;
    signIn(who);
    if (place().name === "sign-in") go("/");
    else this.#show();
  }

  /** Clears all data and stops requests after sign-out. @param {unknown} why */
  signedOut(why) {
    if (this.#isOut) return;
    this.#isOut = true;
    this.signedOutBy = why;
    this.stream.watch(null);
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.screen?.close();
    this.screen = null;
    fill(this.main);
    machine.set(null);
    signIn(null);
    refetchFiring();
    this.#show();
  }

  /** Whether all readings shown are stale because no new ones arrive. Single stale readings are marked on their GPU. */
  isStale() {
    const snapshot = machine.value;
    // A screen with its own stream shows no readings and receives none.
    if (!snapshot || this.screen?.path) return false;
    const read = snapshot.gpus.filter(({ status }) => status !== "lost");
    return (read.length > 0 && read.every(({ stale }) => stale)) || (ageOfReadings(snapshot) ?? 0) > STALE_SECONDS;
  }

  /** Updates the tab's title. */
  retitle() {
    if (this.screen) document.title = `${this.screen.title()} · ${PRODUCT}`;
  }

  /** Fetches everything again and reconnects, after a change. */
  reload() {
    this.stream.watch(this.#watching(this.screen ?? NO_SCREEN));
  }

  async #show() {
    const here = this.#here();
    this.#wanted = here;
    setAttribute(this.main, "aria-busy", "true");
    let open;
    try {
      ({ open } = await SCREENS[here.name]());
    } catch {
      if (here === this.#wanted) this.#waitForService();
      return;
    }
    if (here !== this.#wanted) return;
    this.#failures = 0;
    forgetReload();
    this.#enter(here, open(this, here));
  }

  /** The route to show, considering whether the user must sign in. @returns {Place} */
  #here() {
    const here = place();
    if (this.#isOut) return { ...here, name: "sign-in" };
    const isIn = here.name === "sign-in" && access.value && !here.query.has("problem");
    return isIn ? { ...here, name: "machine" } : here;
  }

  /** @param {Place} here @param {Screen} screen */
  #enter(here, screen) {
    const hadFocus = this.main.contains(document.activeElement);
    this.screen?.close();
    this.screen = screen;
    setAttribute(this.main, "aria-busy", null);
    fill(this.main, screen.element);
    // The focused element was removed: focus the new screen.
    if (hadFocus) this.main.focus({ preventScroll: true });
    this.keys.bindScreen(screen.keys);
    this.bar.mark(here.name);
    document.body.classList.toggle("signed-out", here.name === "sign-in");
    this.retitle();
    scrollTo(0, 0);
    this.stream.watch(screen.isQuiet ? null : this.#watching(screen));
    screen.shown?.();
  }

  /**
   * Handles a screen that could not be loaded. The current one stays. If the service is alive, loading is retried;
   * if it fails again, the files belong to another version, and the page reloads.
   */
  async #waitForService() {
    this.#failures += 1;
    if (this.#failures > 1 && (await isAlive())) {
      this.#failures = 0;
      setAttribute(this.main, "aria-busy", null);
      return reloadOnce() || toast("bad", t("screen.missing"));
    }
    this.stream.watch(this.#watching(this.screen ?? NO_SCREEN));
  }

  /** @param {Watched} screen @returns {import("./stream.js").Watching} */
  #watching(screen) {
    /** @type {API.Listeners} */
    const common = {
      snapshot: (data, message) => take(data, message.timestamp),
      // The service does not know which message arrived last: everything may have changed.
      reset: () => this.#refetch(screen),
      alert: alertChanged,
    };
    const on = { ...common, ...screen.on };
    return {
      path: screen.path ?? (() => `/events/stream?topics=${screen.topics}${canSeeAlerts() ? ",alert" : ""}`),
      on,
      refetch: () => this.#refetch(screen),
    };
  }

  /** @param {Watched} screen */
  async #refetch(screen) {
    refetchFiring();
    const [snapshot, rest] = await Promise.allSettled([api.gpus(), screen.refetch()]);
    if (this.screen && screen !== this.screen) return;
    if (snapshot.status === "fulfilled") take(snapshot.value);
    for (const each of [snapshot, rest]) {
      if (each.status !== "rejected") continue;
      this.#reportDenied(screen, each.reason);
      throw each.reason;
    }
  }

  /** Reports once why parts of a screen stay empty. @param {Watched} screen @param {unknown} why */
  #reportDenied(screen, why) {
    if (!(why instanceof Refused && why.status === 403) || this.#deniedScreen === screen) return;
    this.#deniedScreen = screen;
    toastError(why);
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    this.main.focus();
  }
}

/** The version that was loaded by a reload, in the session storage. */
const RELOADED = "reloaded";

/**
 * Reloads for another version of the service, unless this version was already loaded by a reload.
 * @returns {boolean} whether it does
 */
function reloadOnce() {
  try {
    if (sessionStorage.getItem(RELOADED) === import.meta.url) return false;
    sessionStorage.setItem(RELOADED, import.meta.url);
  } catch {
    // Without storage the page could reload forever.
    return false;
  }
  location.reload();
  return true;
}

/** Clears the record of the reload, after all files were loaded. */
function forgetReload() {
  try {
    sessionStorage.removeItem(RELOADED);
  } catch {
    // Nothing was stored.
  }
}

const paper = matchMedia("print");
/** The theme to restore after printing. @type {string|null} */
let themeBefore = null;

/** Uses light colours while printing, including charts. */
function applyPrintTheme() {
  const root = document.documentElement;
  if (paper.matches && themeBefore === null) {
    themeBefore = root.dataset.theme ?? "dark";
    root.dataset.theme = "light";
  } else if (!paper.matches && themeBefore !== null) {
    root.dataset.theme = themeBefore;
    themeBefore = null;
  } else return;
  dispatchEvent(new Event("themechange"));
}

/** Registers the print listeners. */
function printInLight() {
  paper.addEventListener("change", applyPrintTheme);
}

printInLight();
// Loaded only if notifications are on; another tab may turn them on.
const notify = () => recall("notify", "") === "on" && import("../screens/alerts/notify.js");
notify();
addEventListener("storage", ({ key }) => key === "notify" && notify());
new App(/** @type {HTMLElement} */ (document.getElementById("app")));
