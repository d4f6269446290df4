// Layout of log lines: one row each or, if wrapped, as many as their characters need.

// Characters of double width: East Asian scripts and emoji.
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/gu;
const NOT_ASCII = /[^\p{ASCII}]/u;
const TAB = 8;

/**
 * Rows of a text at this number of columns; may be one too many with wide characters.
 * @param {string} text @param {number} columns
 */
function rowsOf(text, columns) {
  const tabs = text.includes("\t") ? text.split("\t").length - 1 : 0;
  // Fast path: the width of ASCII text is its length.
  const wide = NOT_ASCII.test(text) ? (text.match(WIDE)?.length ?? 0) : 0;
  return Math.max(1, Math.ceil((text.length + wide + tabs * (TAB - 1)) / columns));
}

export class Layout {
  /** Rows above each line, and the total at the end; null while each line has one row. @type {Uint32Array|null} */
  #above = null;
  /** @type {API.LogLine[]} */
  #lines = [];

  /** @param {API.LogLine[]} lines @param {number|null} columns characters per row; null: no wrapping */
  constructor(lines, columns) {
    this.#lines = lines;
    if (columns === null) return;
    this.#above = new Uint32Array(lines.length + 1);
    for (let i = 0; i < lines.length; i += 1) this.#above[i + 1] = this.#above[i] + rowsOf(lines[i].message, columns);
  }

  /** Rows of all lines. */
  get rows() {
    return this.above(this.#lines.length);
  }

  /** Rows above a line. @param {number} index */
  above(index) {
    return this.#above ? this.#above[index] : index;
  }

  /** Rows of a line. @param {number} index */
  of(index) {
    return this.above(index + 1) - this.above(index);
  }

  /** The line at a row; the last line for rows below all. @param {number} row */
  lineAt(row) {
    const last = Math.max(0, this.#lines.length - 1);
    if (!this.#above) return Math.min(last, Math.max(0, row));
    let [low, high] = [0, last];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#above[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
