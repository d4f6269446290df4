// The service worker: it only handles clicks on notifications, and intercepts no requests.

const worker = /** @type {NoticeWorker} */ (/** @type {unknown} */ (self));

self.addEventListener("install", () => worker.skipWaiting());

self.addEventListener("notificationclick", (given) => {
  const event = /** @type {NoticeEvent} */ (given);
  event.notification.close();
  event.waitUntil(show(event.notification.data));
});

/** Shows the address in an open tab of the page, or in a new one. @param {{page: string, address: string}} notice */
async function show({ page, address }) {
  const tabs = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = tabs.find(({ url }) => url.split("#")[0] === page);
  if (!open) return worker.clients.openWindow(`${page}#${address}`);
  open.postMessage({ address });
  return open.focus();
}
