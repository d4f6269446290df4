// Shows notifications by a service worker, as Chromium on Android requires it.

/** Below it are the files of all versions of the page. */
const FOLDER = "/dashboard/";

/** @type {Promise<ServiceWorkerRegistration>|null} */
let registered = null;

/** Throws if the browser has no service workers. @param {string} title @param {NotificationOptions} options @param {string} address */
export async function showByWorker(title, options, address) {
  registered ??= register();
  const worker = await registered;
  await worker.showNotification(title, { ...options, data: { page: new URL("./", location.href).href, address } });
}

async function register() {
  const { href } = new URL("./service_worker.js", import.meta.url);
  const policy = globalThis.trustedTypes?.createPolicy("notices", { createScriptURL: () => href });
  const script = /** @type {string} */ (policy?.createScriptURL("") ?? href);
  const own = await navigator.serviceWorker.register(script);
  navigator.serviceWorker.onmessage = ({ data }) => {
    location.hash = data.address;
  };
  // Those of earlier versions of the page.
  for (const other of await navigator.serviceWorker.getRegistrations())
    if (other.scope !== own.scope && new URL(other.scope).pathname.startsWith(FOLDER)) await other.unregister();
  await activated(own);
  return own;
}

/** Only an active worker may show notifications. @param {ServiceWorkerRegistration} registration @returns {Promise<void>} */
function activated({ installing, waiting }) {
  const worker = installing ?? waiting;
  if (!worker || worker.state === "activated") return Promise.resolve();
  return new Promise((resolve, reject) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      else if (worker.state === "redundant") reject(new Error("The service worker was replaced."));
    });
  });
}
