// Which screen: what stands behind the # of the address.

/** @typedef {{name: string, id: string|null, query: URLSearchParams}} Place */

const ROUTES = [
  [/^\/?$/, "machine"],
  [/^\/gpu\/([^/]+)$/, "gpu"],
  [/^\/tasks$/, "tasks"],
  [/^\/tasks\/([^/]+)$/, "task"],
  [/^\/start$/, "start"],
];

/** @returns {Place} */
export function place() {
  const [path, text] = location.hash.slice(1).split("?");
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { name, id: found[1] === undefined ? null : decode(found[1]), query: new URLSearchParams(text) };
  }
  return { name: "machine", id: null, query: new URLSearchParams() };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const go = (address) => {
  location.hash = address;
};

export const taskAddress = (id) => `#/tasks/${encodeURIComponent(id)}`;
export const gpuAddress = (id) => `#/gpu/${encodeURIComponent(id)}`;

/** Notes a screen's own settings in the address without leaving it. */
export function note(path, values) {
  const known = Object.entries(values).filter(([, value]) => value);
  const text = known.length ? `?${new URLSearchParams(known)}` : "";
  history.replaceState(null, "", `#${path}${text}`);
}
