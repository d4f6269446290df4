// The buckets of a training as shapes, with the number of items and dropped examples.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";

/** Longest side of a shape, in rem. */
const SIDE = 6.5;
/** Layers drawn behind a bucket of several frames. */
const LAYERS = 3;

/**
 * @param {readonly API.Bucket[]} buckets @param {(bucket: API.Bucket) => void} show called to show its items
 */
export function bucketsPicture(buckets, show) {
  const sorted = [...buckets].sort((a, b) => b.items - a.items || a.width / a.height - b.width / b.height);
  const most = Math.max(1, ...sorted.map(({ items }) => items));
  const longest = Math.max(1, ...sorted.flatMap(({ width, height }) => [width, height]));
  return h(
    "ul.buckets",
    sorted.map((bucket) => h("li", bucketCard(bucket, most, longest, show))),
  );
}

/** The label of a bucket: 512 × 768, 33 frames. @param {API.Bucket} bucket */
export const bucketName = ({ width, height, frames }) =>
  frames > 1 ? t("bucket.frames", { size: `${width} × ${height}`, n: count(frames) }) : `${width} × ${height}`;

/** @param {API.Bucket} bucket @param {number} most @param {number} longest @param {(bucket: API.Bucket) => void} show */
function bucketCard(bucket, most, longest, show) {
  const { items, examples, batches, batch_size: size, dropped, reason } = bucket;
  const bar = h("i");
  bar.style.width = `${(100 * items) / most}%`;
  const lost = h("i.lost");
  lost.style.width = examples ? `${(100 * dropped) / examples}%` : "0";
  bar.append(lost);
  return h(
    "button",
    { class: `bucket${dropped ? " drops" : ""}`, title: t("bucket.show"), on: { click: () => show(bucket) } },
    h("span.bucket-place", shape(bucket, longest)),
    h("strong.nowrap", bucketName(bucket)),
    h("span.bucket-bar", bar),
    h("span.soft.small", t("bucket.holds", { items: count(items), batches: count(batches), size: count(size) })),
    dropped > 0 &&
      h(
        "span.small.warn.bucket-lost",
        icon("warn"),
        t("bucket.drops", { n: count(dropped), examples: count(examples) }),
      ),
    reason && h("span.tiny.soft.foreign", reason),
  );
}

/** @param {API.Bucket} bucket @param {number} longest */
function shape({ width, height, frames }, longest) {
  const layers = frames > 1 ? LAYERS : 1;
  const element = h("span.bucket-shape");
  element.style.width = `${(SIDE * width) / longest}rem`;
  element.style.height = `${(SIDE * height) / longest}rem`;
  for (let i = layers - 1; i >= 0; i -= 1) {
    const layer = h("i");
    layer.style.transform = `translate(${i * 0.3}rem, ${-i * 0.3}rem)`;
    element.append(layer);
  }
  return element;
}
