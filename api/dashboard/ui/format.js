// Number formats. Unknown values are a dash, never 0.

import { language, t } from "../app/i18n.js";

export const UNKNOWN = "–";

export const locale = language === "zh" ? "zh-CN" : undefined;
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/**
 * @template T
 * @param {T} value
 * @returns {value is NonNullable<T>}
 */
export const isKnown = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** 12,345 @param {number|null|undefined} value */
export const count = (value) => (isKnown(value) ? whole.format(value) : UNKNOWN);

/** 42 % @param {number|null|undefined} value */
export const percent = (value) => (isKnown(value) ? `${whole.format(value)} %` : UNKNOWN);

/** Memory in MB (MiB) as GB with one decimal: 79.6 @param {number|null|undefined} mb */
export const gigabytes = (mb) => (isKnown(mb) ? tenth.format(mb / 1024) : UNKNOWN);

/** With its unit; without it if unknown. @param {number|null|undefined} value @param {string} name */
export const unit = (value, name, digits = 0) =>
  isKnown(value) ? `${digits ? tenth.format(value) : whole.format(value)} ${name}` : UNKNOWN;

/** A file size: 1.6 MB @param {number|null|undefined} value */
export function bytes(value) {
  if (!isKnown(value)) return UNKNOWN;
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  const scaled = value / 1024 ** power;
  return `${power && scaled < 100 ? tenth.format(scaled) : whole.format(scaled)} ${units[power]}`;
}

/** A loss or learning rate: four digits, exponential if shorter. @param {number|null|undefined} value */
export function figure(value) {
  if (!isKnown(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("e+", "e");
  return size >= 1000 ? whole.format(value) : String(Number(value.toPrecision(4)));
}

/** 3 d 4 h, 2 h 5 min, 4 min 10 s, 8 s @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  const s = Math.max(0, Math.round(seconds));
  const [d, hours, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} ${t("unit.d")} ${hours} ${t("unit.h")}`;
  if (hours) return `${hours} ${t("unit.h")} ${m} ${t("unit.min")}`;
  if (m) return `${m} ${t("unit.min")} ${s % 60} ${t("unit.s")}`;
  return `${s} ${t("unit.s")}`;
}

/** An ISO time, or milliseconds since 1970. @typedef {string|number|null|undefined} Time */

/** A time as seconds since 1970, or null. @param {string|null|undefined} iso */
export function seconds(iso) {
  const time = iso ? Date.parse(iso) : NaN;
  return Number.isNaN(time) ? null : time / 1000;
}

const timeOnly = new Intl.DateTimeFormat(locale, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const dayAndTime = new Intl.DateTimeFormat(locale, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const minutes = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/** Local time: only the time for today, otherwise with the day. @param {Time} iso */
export function localTime(iso) {
  const date = new Date(iso ?? NaN);
  if (!iso || Number.isNaN(date.getTime())) return UNKNOWN;
  if (date.toDateString() === new Date().toDateString()) return timeOnly.format(date);
  return date.getFullYear() === new Date().getFullYear() ? dayAndTime.format(date) : full.format(date);
}

const weekday = new Intl.DateTimeFormat(locale, {
  weekday: "long",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const DAYS_MS = 6 * 86_400_000;

/** Tuesday 14:00, for a time of the next days; without the day for today. @param {string} iso */
export function weekdayTime(iso) {
  const date = new Date(iso);
  const isNear = date.toDateString() !== new Date().toDateString() && date.getTime() - Date.now() < DAYS_MS;
  if (isNear) return weekday.format(date);
  return date.toDateString() === new Date().toDateString() ? minutes.format(date) : localTime(iso);
}

/** The local time without the day. @param {Time} iso */
export function clockTime(iso) {
  const date = new Date(iso ?? NaN);
  return !iso || Number.isNaN(date.getTime()) ? UNKNOWN : timeOnly.format(date);
}

/** UTC, for tooltips: 2026-11-25 09:00:00 UTC @param {Time} iso */
export function utcTime(iso) {
  const date = new Date(iso ?? NaN);
  if (!iso || Number.isNaN(date.getTime())) return "";
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
