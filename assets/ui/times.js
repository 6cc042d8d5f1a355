/** Times in words of the visitor's language. */

/** @typedef {import("./i18n.js").Texts} Texts */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The budget of a day starts again at midnight UTC; the server reports the time until then. */
const MIDNIGHT_TOLERANCE_MS = 5 * SECOND_MS;

/**
 * Returns when something is possible again: "in 40 seconds", "in 5 minutes", "after midnight UTC
 * (01:00 your time)".
 * @param {Texts} t @param {number} time in milliseconds since the epoch
 * @param {number} [now]
 */
export function formatFuture(t, time, now = Date.now()) {
  const delay = Math.max(time - now, SECOND_MS);
  const sinceMidnight = (time + MIDNIGHT_TOLERANCE_MS) % DAY_MS;
  if (delay > HOUR_MS && sinceMidnight < 2 * MIDNIGHT_TOLERANCE_MS && t.has("time.midnight")) {
    return t("time.midnight", { time: new Intl.DateTimeFormat(t.language, { timeStyle: "short" }).format(time) });
  }
  const format = new Intl.RelativeTimeFormat(t.language);
  if (delay < 1.5 * MINUTE_MS) return format.format(Math.ceil(delay / SECOND_MS), "second");
  if (delay < 1.5 * HOUR_MS) return format.format(Math.ceil(delay / MINUTE_MS), "minute");
  return format.format(Math.ceil(delay / HOUR_MS), "hour");
}

/**
 * Returns when something happened: "5 minutes ago", "yesterday", or a date.
 * @param {Texts} t @param {number} time in milliseconds since the epoch
 * @param {number} [now]
 */
export function formatPast(t, time, now = Date.now()) {
  const format = new Intl.RelativeTimeFormat(t.language, { numeric: "auto" });
  const age = now - time;
  if (age < MINUTE_MS) return format.format(0, "second");
  if (age < HOUR_MS) return format.format(-Math.floor(age / MINUTE_MS), "minute");
  if (age < DAY_MS) return format.format(-Math.floor(age / HOUR_MS), "hour");
  if (age < 7 * DAY_MS) return format.format(-Math.floor(age / DAY_MS), "day");
  return new Intl.DateTimeFormat(t.language, { dateStyle: "medium" }).format(time);
}
