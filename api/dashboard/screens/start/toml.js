// Locates findings in a TOML text. It is not a parser: tables, keys and lines are enough.

/**
 * The line (from 1) of a pointer such as `/model/dtype` or `/directory/0/path`, or null. If the key is missing, the line
 * of the nearest enclosing table.
 * @param {string} text
 * @param {string} pointer JSON pointer inside the document
 */
export function lineOf(text, pointer) {
  const wanted = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  if (!wanted.length) return null;
  /** @type {{line: number|null, depth: number}} */
  let best = { line: null, depth: 0 };
  for (const { path, line } of keysOf(text)) {
    let depth = 0;
    while (depth < wanted.length && depth < path.length && path[depth] === wanted[depth]) depth += 1;
    if (depth === path.length && depth > best.depth) best = { line, depth };
  }
  return best.line;
}

/** The value of `[model] type`, or "". A single pasted line `type = …` counts, too. @param {string} text */
export function modelTypeIn(text) {
  const entries = [...keysOf(text)];
  const own =
    entries.find(({ path }) => path.join("/") === "model/type") ??
    entries.find(({ path }) => path.join("/") === "type");
  const inline = entries.find(({ path }) => path.join("/") === "model")?.value;
  const found = own ? /^(["'])(.*?)\1/.exec(own.value ?? "") : /\btype\s*=\s*(["'])(.*?)\1/.exec(inline ?? "");
  return found?.[2] ?? "";
}

/** Pointers of the keys with this value. @param {string} text @param {string} wanted */
export function pointersOf(text, wanted) {
  const is = (/** @type {string|undefined} */ value) =>
    value !== undefined && [`"${wanted}"`, `'${wanted}'`].some((quoted) => value.startsWith(quoted));
  return [...keysOf(text)].filter(({ value }) => is(value)).map(({ path }) => `/${path.join("/")}`);
}

/**
 * All tables and keys with their paths; tables of an array are counted from 0.
 * @param {string} text @returns {Generator<{path: string[], line: number, value?: string}>}
 */
function* keysOf(text) {
  /** @type {string[]} */
  let table = [];
  const counts = new Map();
  /** @type {string|null} */
  let fence = null;
  for (const [index, raw] of text.split("\n").entries()) {
    const line = index + 1;
    if (fence) {
      if (raw.includes(fence)) fence = null;
      continue;
    }
    const array = /^\s*\[\[\s*([^\]]+?)\s*\]\]/.exec(raw);
    const plain = /^\s*\[\s*([^[\]]+?)\s*\]\s*(#.*)?$/.exec(raw);
    const key = /^\s*([A-Za-z0-9_.\-"' ]+?)\s*=\s*(.*)$/.exec(raw);
    if (array) {
      const names = split(array[1]);
      const number = counts.get(array[1]) ?? 0;
      counts.set(array[1], number + 1);
      table = [...names, String(number)];
      yield { path: table, line };
    } else if (plain) {
      table = split(plain[1]);
      yield { path: table, line };
    } else if (key) {
      yield { path: [...table, ...split(key[1])], line, value: key[2] };
      const opened = /^('''|""")/.exec(key[2]);
      if (opened && !key[2].slice(3).includes(opened[1])) fence = opened[1];
    }
  }
}

/** @param {string} name */
const split = (name) => name.split(".").map((part) => part.trim().replace(/^["']|["']$/g, ""));

/** The line named by a TOML parser's message. @param {string} message */
export function lineInMessage(message) {
  const found = /\bline (\d+)/.exec(message);
  return found ? Number(found[1]) : null;
}
