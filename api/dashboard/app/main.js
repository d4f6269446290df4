// The page: rail, banners, and the screen of the current address.

import { alertChanged, canSeeAlerts, refetchFiring } from "../screens/alerts/state.js";
import { fill, h, setAttribute, setText } from "../ui/dom.js";
import { duration } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { attempt, toast, toastError } from "../ui/toast.js";
import { access, loadAccess, signIn } from "./access.js";
import { api, isAlive, Refused, SIGNED_OUT } from "./api.js";
import { t } from "./i18n.js";
import { Keys } from "./keys.js";
import { ageOf, ageOfReadings, machine, take } from "./machine.js";
import { go, place } from "./router.js";
import { enterScroll, leaveScroll, scrollArrived } from "./scroll.js";
import { recall } from "./settings.js";
import { bar } from "./shell/bar.js";
import { openHelp } from "./shell/help.js";
import { idleBanner } from "./shell/idle.js";
import { loadAlertStyle, loadStyleOnce } from "./shell/style.js";
import { connection, Stream } from "./stream.js";
import { followTheme } from "./theme.js";

/** The pages of the settings, by the last part of their address. The first one is shown at #/settings. */
const SETTINGS = {
  setup: () => styled(import("../screens/setup/view.js"), "setup"),
  schedule: () => styled(import("../screens/schedule/view.js"), "setup"),
  keys: () => import("../screens/access/view.js"),
  log: () => styled(import("../screens/log/server.js"), "task"),
  appearance: () => import("../screens/settings/appearance.js"),
  help: () => import("../screens/settings/help.js"),
};

/** Each module is loaded when its screen is first shown. @type {Record<Place["name"], (place: Place) => Promise<{open: (app: App, place: Place) => Screen}>>} */
const SCREENS = {
  home: () => import("../screens/home/view.js"),
  gpus: () => import("../screens/machine/view.js"),
  nodes: () => import("../screens/nodes/view.js"),
  events: () => import("../screens/machine/events.js"),
  gpu: () => import("../screens/machine/gpu.js"),
  tasks: () => import("../screens/tasks/view.js"),
  task: () => styled(import("../screens/tasks/task.js"), "task"),
  compare: () => styled(import("../screens/compare/view.js"), "task"),
  sweep: () => styled(import("../screens/tasks/sweep.js"), "task"),
  sweeps: () => styled(import("../screens/tasks/sweeps.js"), "task"),
  logs: () => styled(import("../screens/log/search.js"), "task"),
  data: () => styled(import("../screens/datasets/view.js"), "data"),
  dataset: () => styled(import("../screens/datasets/dataset.js"), "data"),
  models: () => styled(import("../screens/models/view.js"), "data", "models"),
  downloads: () => styled(import("../screens/models/downloads_view.js"), "data", "models"),
  registry: () => styled(import("../screens/registry/view.js"), "data", "models"),
  registered: () => styled(import("../screens/registry/registered.js"), "data", "models"),
  // Its pictures of buckets and its uploads load the styles of datasets.
  start: () => styled(import("../screens/start/view.js"), "models"),
  // Alerts are shown without their styles if these cannot be loaded.
  alerts: async () => (await Promise.all([import("../screens/alerts/view.js"), loadAlertStyle()]))[0],
  settings: ({ id }) => settingsPage(id),
  "sign-in": () => import("../screens/sign_in/view.js"),
  missing: () => import("../screens/missing/view.js"),
};

/** @param {string} id */
function settingsPage(id) {
  const [first] = Object.values(SETTINGS);
  const page = id ? Object.entries(SETTINGS).find(([name]) => name === id)?.[1] : first;
  return page ? page() : SCREENS.missing(place());
}

/**
 * A screen's module, once its own styles are loaded, too.
 * @template Module @param {Promise<Module>} module @param {...Parameters<typeof loadStyleOnce>[0]} styles
 * @returns {Promise<Module>}
 */
const styled = async (module, ...styles) => (await Promise.all([module, ...styles.map(loadStyleOnce)]))[0];

/** Shows the alert of a clicked link in a dialog. @param {MouseEvent} event */
function openClickedAlert(event) {
  const link = /** @type {Element} */ (event.target).closest("a[data-open-alert]");
  const id = /** @type {HTMLElement|null} */ (link)?.dataset.openAlert;
  if (!id || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  attempt(async () => (await import("../screens/alerts/detail.js")).openAlert(id));
}

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
 * @property {(place: Place) => void} [turn] shows another part of the same screen
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
  /** The route of the screen that is shown. @type {Place|null} */
  #shown = null;
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
      h("a.skip", { href: "#main", on: { click: (event) => this.#skip(event) } }, t("skip")),
      this.bar.element,
      this.banners.element,
      this.main,
    );
    this.keys.bind({
      "?": () => openHelp(),
      "g h": () => go("/"),
      "g t": () => go("/trainings"),
      "g d": () => go("/datasets"),
      "g o": () => go("/models"),
      "g n": () => go("/new"),
      "g g": () => go("/gpus"),
      "g l": () => go("/alerts"),
      "g s": () => go("/settings"),
      "/": () => /** @type {HTMLElement|null} */ (document.querySelector("[data-search]"))?.focus(),
    });
    addEventListener("click", openClickedAlert);
    addEventListener("hashchange", () => {
      closeDialogs();
      leaveScroll();
      this.#show();
    });
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
    SCREENS[place().name](place()).catch(() => {});
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
    this.screen = this.#shown = null;
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
    if (this.screen?.turn && here.name === this.#shown?.name && here.id === this.#shown.id) {
      setAttribute(this.main, "aria-busy", null);
      this.screen.turn(here);
      this.retitle();
      enterScroll(this.main);
      scrollArrived();
      return;
    }
    setAttribute(this.main, "aria-busy", "true");
    let open;
    try {
      ({ open } = await SCREENS[here.name](here));
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
    return isIn ? { ...here, name: "home" } : here;
  }

  /** @param {Place} here @param {Screen} screen */
  #enter(here, screen) {
    const focused = this.main.contains(document.activeElement) ? document.activeElement : null;
    this.screen?.close();
    this.screen = screen;
    this.#shown = here;
    setAttribute(this.main, "aria-busy", null);
    fill(this.main, screen.element);
    // The focused element was removed: focus the new screen, or its link if another part of it was chosen.
    const link = focused?.closest(".sections") ? this.main.querySelector(".sections [aria-current]") : null;
    if (focused) (link instanceof HTMLElement ? link : this.main).focus({ preventScroll: true });
    this.keys.bindScreen(screen.keys);
    this.bar.mark(here.name);
    document.body.classList.toggle("signed-out", here.name === "sign-in");
    this.retitle();
    enterScroll(this.main);
    this.stream.watch(screen.isQuiet ? null : this.#watching(screen));
    if (screen.isQuiet) scrollArrived();
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
    // The screen may need the readings for what it fetches next.
    const gpus = api.gpus().then((found) => {
      if (!this.screen || screen === this.screen) take(found);
    });
    const [snapshot, rest] = await Promise.allSettled([gpus, screen.refetch()]);
    if (this.screen && screen !== this.screen) return;
    if (rest.status === "fulfilled") scrollArrived();
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

/** Closes dialogs after a navigation, except those whose content would be lost. */
function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) if (dialog.dataset.sticky === undefined) dialog.close();
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

followTheme();
// Loaded only if notifications are on; another tab may turn them on.
const notify = () => recall("notify", "") === "on" && import("../screens/alerts/notify.js");
notify();
addEventListener("storage", ({ key }) => key === "notify" && notify());
new App(/** @type {HTMLElement} */ (document.getElementById("app")));

/** @param {import("./main.js").App} app */
function banners(app) {
  const lostText = h("span");
  const lost = h(
    "div.banner.lost",
    { role: "alert", hidden: true },
    icon("unplug"),
    lostText,
    h("button.button.small", { on: { click: () => app.stream.retry() } }, t("retry")),
  );
  const staleText = h("span");
  const stale = h("div.banner.stale", { hidden: true }, icon("clock"), staleText);
  const idle = idleBanner();

  function showStale() {
    const snapshot = machine.value;
    const isStale = app.isStale();
    stale.hidden = !isStale || !lost.hidden;
    document.body.classList.toggle("old", isStale);
    if (snapshot && isStale) setText(staleText, t("stale.all", { age: duration(ageOfReadings(snapshot)) }));
  }

  function showLost() {
    const { state, retryAt } = connection.value;
    lost.hidden = state !== "lost";
    if (retryAt !== null) {
      const time = duration(Math.max(0, (retryAt - Date.now()) / 1000));
      setText(lostText, t("lost", { age: duration(ageOf(machine.value?.timestamp)), time }));
    }
    showStale();
  }

  access.watch((now) => now && (!now.isRequired || now.who) && idle.watch());
  machine.watch(() => app.banners && showStale());
  connection.watch(() => app.banners && showLost());
  setInterval(showLost, 1000);
  return { element: h("aside", { "aria-label": t("notices") }, lost, stale, idle.element) };
}
