/** The texts of errors, notices and close codes in the visitor's language. */

import { FINAL } from "../client/turn.js";
import { formatFuture } from "./times.js";

/** @typedef {import("./i18n.js").Texts} Texts */
/** @typedef {import("../client/turn.js").Turn} Turn */

/** Notices that are about the answer that follows them. The others are shown by the connection. */
const NOTICES_OF_TURN = new Set(["CONTEXT_PRUNED", "DEGRADED", "RECOVERED"]);

/** @param {Turn["status"]} status */
export function isUnfinished(status) {
  return !FINAL.has(status);
}

/**
 * Loads a text if it is not one of those that come with the chat. Without it, a more general text
 * or the message of the server is shown. Returns `null` if there is nothing to wait for.
 * @param {Texts} t @param {string} key
 * @returns {Promise<void> | null}
 */
export function loadText(t, key) {
  return t.triedMore || t.has(key) ? null : t.addMore().catch(() => {});
}

/** Loads the text of how an answer ended, like `loadText`. @param {Texts} t @param {Turn} turn */
export function loadOutcomeText(t, { error, lostChars, status }) {
  if (error) return loadText(t, `error.${error.code}`);
  return lostChars > 0 || status === "length" ? loadText(t, "turn.lost") : null;
}

/**
 * Returns what happened and what to do. The message of the server is used for unknown codes.
 * @param {Texts} t
 * @param {{code: string, message?: string, retryable?: boolean, retryAt?: number,
 *   retry_after_ms?: number}} error  the error of a turn, or an `error` frame
 */
export function errorText(t, { code, message, retryable, retryAt, retry_after_ms }) {
  const key = `error.${code}`;
  const final = `${key}.final`;
  if (retryable === false && t.has(final)) return t(final);
  const text = t.has(key) ? t(key) : (message ?? t("error.unknown"));
  const time = retryAt || (retry_after_ms ? Date.now() + retry_after_ms : 0);
  return time > Date.now() ? `${text} ${t("retry.when", { when: formatFuture(t, time) })}` : text;
}

/**
 * Returns the text of a notice about the current answer, or "" for other notices.
 * @param {Texts} t @param {{code: string, message?: string}} notice
 */
export function noticeText(t, { code, message }) {
  const key = `notice.${code}`;
  if (t.has(key)) return NOTICES_OF_TURN.has(code) ? t(key) : "";
  return message ?? "";
}

/**
 * Returns what a waiting visitor should know, or "".
 * @param {Texts} t @param {Turn} turn @param {string} connection the state of the connection
 */
export function waitingText(t, { status, position, thinking }, connection) {
  if (status === "queued") return position ? t("turn.queuedAt", { position }) : t("turn.queued");
  if (status === "sending" && connection !== "open") return t("turn.unsent");
  if (thinking) return t("turn.thinking");
  return "";
}

/**
 * Returns how an answer ended, or "" if it is complete.
 * @param {Texts} t @param {Turn} turn
 */
export function outcomeText(t, { status, error, answer, lostChars, turnId }) {
  if (status === "failed") return error ? errorText(t, error) : t("turn.failed");
  if (lostChars > 0 && t.has("turn.lost")) return t(turnId ? "turn.lostEnd" : "turn.lost");
  if (status === "interrupted") return t(answer ? "turn.interrupted" : "turn.unanswered");
  if (status === "cancelled") return t("turn.cancelled");
  if (status === "length") return t(t.has("turn.length") ? "turn.length" : "turn.interrupted");
  return "";
}

/**
 * Returns whether an answer without a model quotes the resume. Otherwise it lists the topics of the
 * resume, because no passage matches.
 * @param {Turn} turn
 */
export function isQuote({ mode, answer }) {
  return mode === "excerpts" && /^>/m.test(answer);
}
