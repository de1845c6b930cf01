/** Numbers and times as people read them. Decimal text stays text: nothing is rounded that was not asked to be. */

import { trimmed } from "./decimal.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How many digits follow the point: `"1.50"` has two. */
export function placesOf(decimal: string): number {
  const point = decimal.indexOf(".");
  return point < 0 ? 0 : decimal.length - point - 1;
}

/** Thousands apart, and at least `places` digits after the point: `"65000.5"` with 2 is `65,000.50`. */
export function price(decimal: string, places = 0): string {
  const [whole = "", fraction = ""] = decimal.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const digits = fraction.padEnd(places, "0");
  return digits ? `${grouped}.${digits}` : grouped;
}

/** The whole of it, thousands apart, without zeros at its end: `1234.5000` is `1,234.5`. */
export function exact(decimal: string): string {
  return price(trimmed(decimal));
}

/** About five digits of a quantity, the large ones shortened: `1,234.5`, `98.2K`, `0.00120`. */
export function quantity(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return `${fixed(value / 1e9, 2)}B`;
  if (size >= 1e6) return `${fixed(value / 1e6, 2)}M`;
  if (size >= 1e5) return `${fixed(value / 1e3, 1)}K`;
  if (size >= 1e3) return fixed(value, 1);
  if (size >= 1) return fixed(value, 3);
  return size === 0 ? "0" : fixed(value, 5);
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** With its sign, so that colour is not the only one: `+1.25 %`, `−0.40 %`. */
export function percent(ratio: number): string {
  if (!Number.isFinite(ratio)) return "–";
  return `${signed(ratio * 100, 2)} %`;
}

export type Sign = "up" | "down" | "none";

/** Which way it goes as far as `percent` shows it. */
export function signOf(ratio: number): Sign {
  if (Math.abs(ratio) < 0.00005 || !Number.isFinite(ratio)) return "none";
  return ratio > 0 ? "up" : "down";
}

const ARROWS: Record<Sign, string> = { up: "▲", down: "▼", none: "■" };

/** A change that needs no colour to be read: `▲ +1.25 %`. */
export function change(ratio: number): string {
  return `${ARROWS[signOf(ratio)]} ${percent(ratio)}`;
}

export function signed(value: number, places: number): string {
  const text = fixed(Math.abs(value), places);
  const zero = Number(text.replaceAll(",", "")) === 0;
  return zero ? text : `${value > 0 ? "+" : "−"}${text}`;
}

function fixed(value: number, places: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

/** How long ago, in one unit: `0.4 s`, `12 s`, `3 m`, `2 h`, `5 d`. A clock that is behind ours is no news from the future. */
export function age(duration_ms: number): string {
  const past_ms = Math.max(0, duration_ms);
  if (past_ms < 10 * SECOND_MS) return `${(past_ms / SECOND_MS).toFixed(1)} s`;
  if (past_ms < MINUTE_MS) return `${Math.floor(past_ms / SECOND_MS)} s`;
  if (past_ms < HOUR_MS) return `${Math.floor(past_ms / MINUTE_MS)} m`;
  if (past_ms < DAY_MS) return `${Math.floor(past_ms / HOUR_MS)} h`;
  return `${Math.floor(past_ms / DAY_MS)} d`;
}

/** The time of day, UTC: `12:04:05`. */
export function clock(time_ms: number): string {
  return new Date(time_ms).toISOString().slice(11, 19);
}

/** The time of day to the millisecond, UTC: `12:04:05.250`. */
export function moment(time_ms: number): string {
  return new Date(time_ms).toISOString().slice(11, 23);
}

/** Day and minute, UTC: `2026-01-31 12:04`. */
export function minute(time_ms: number): string {
  return new Date(time_ms).toISOString().slice(0, 16).replace("T", " ");
}

/** A duration of a measurement: `0.42 ms`, `12 ms`, `1.20 s`. */
export function duration(value_ms: number): string {
  if (value_ms < 10) return `${value_ms.toFixed(2)} ms`;
  if (value_ms < SECOND_MS) return `${value_ms.toFixed(0)} ms`;
  return `${(value_ms / SECOND_MS).toFixed(2)} s`;
}
