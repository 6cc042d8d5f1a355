/**
 * The chat page: shows the conversation of a ChatClient. Builds all nodes itself, so that no text
 * can become markup.
 */

import { ChatClient } from "../client/client.js";
import { createElement } from "../ui/streaming-markdown.js";
import { TurnView } from "../ui/turn-view.js";

/** @typedef {import("../client/turn.js").Turn} Turn */

/** Within this distance of the end, the page scrolls with the answer. */
const AT_END_PX = 48;
/** The number of remaining characters is shown from here on. */
const SHOW_REMAINING_BELOW = 200;
/** Notices about the connection, which the page handles without the visitor. */
const HIDDEN_NOTICES = new Set(["IDLE_SOON", "RECOVERED", "DRAINING"]);

// The page.

/** @param {string} name @returns {any} */
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const parts = {
  connection: part("connection"),
  connectionText: part("connection-text"),
  reconnect: part("reconnect"),
  startOver: part("start-over"),
  forget: part("forget"),
  scroller: part("scroller"),
  column: part("column"),
  welcome: part("welcome"),
  welcomeTitle: part("welcome-title"),
  title: part("title"),
  suggestions: part("suggestions"),
  earlier: part("earlier"),
  turns: part("turns"),
  toLatest: part("to-latest"),
  form: part("form"),
  question: /** @type {HTMLTextAreaElement} */ (part("question")),
  send: part("send"),
  note: part("note"),
  hint: part("hint"),
  announcer: part("announcer"),
};

// The server of the page's own directory, so that it also works below a path of another site.
const client = new ChatClient();

/** @type {Map<Turn, TurnView>} */
const views = new Map();
/** @type {import("../ui/turn-view.js").Page} */
const page = { client, askAgain, announce, onResize: keepFollowing, blockedUntil: () => blockedUntil };
/** The time at which the server accepts questions again, in milliseconds since the epoch. */
let blockedUntil = 0;
/** Whether the page scrolls with the answer. */
let following = true;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tickTimer;

/** Passes a text to screen readers. @param {string} text */
function announce(text) {
  if (text.trim()) parts.announcer.append(createElement("p", "", text.replace(/[*`>#]+/g, "")));
}

/** Adds a remark of the page to the conversation. @param {string} text */
function addRemark(text) {
  const remark = createElement("li", "line", text);
  remark.dir = "auto";
  parts.turns.append(remark);
  announce(text);
  keepFollowing();
}

function drawTranscript() {
  const remarks = [...parts.turns.querySelectorAll(".line")].map((remark) => /** @type {const} */ ([remark.previousSibling, remark]));
  for (const turn of views.keys()) if (!client.turns.includes(turn)) views.delete(turn);
  parts.turns.replaceChildren(...client.turns.map((turn) => viewOf(turn).root));
  // A remark stays after its turn, if the turn is still shown.
  for (const [previous, remark] of remarks) {
    if (previous instanceof HTMLElement && previous.parentNode === parts.turns) previous.after(remark);
  }
  for (const view of views.values()) view.draw();
  drawFrame();
}

/** @param {Turn} turn */
function viewOf(turn) {
  let view = views.get(turn);
  if (!view) {
    view = new TurnView(turn, page);
    views.set(turn, view);
  }
  return view;
}

/** Draws everything around the turns. */
function drawFrame() {
  const empty = client.turns.length === 0;
  parts.welcome.hidden = !empty;
  parts.startOver.hidden = empty;
  parts.forget.hidden = empty;
  parts.earlier.hidden = empty || !client.hasEarlier;
  drawComposer();
}

function drawComposer() {
  const text = parts.question.value.trim();
  const limit = client.session?.limits?.max_question_chars ?? Infinity;
  // The server counts Unicode code points, not UTF-16 code units.
  const remaining = text.length * 2 < limit ? Infinity : limit - [...text].length;
  const waitMs = blockedUntil - Date.now();
  const busy = client.busy;
  parts.send.dataset.action = busy ? "stop" : "send";
  parts.send.setAttribute("aria-label", busy ? "Stop the answer" : "Send");
  parts.send.disabled = !busy && (text === "" || remaining < 0 || waitMs > 0);
  parts.hint.dataset.kind = remaining < 0 ? "over" : "";
  // Otherwise screen readers would read each second of the countdown.
  parts.hint.setAttribute("aria-live", waitMs > 0 ? "off" : "polite");
  if (waitMs > 0) setText(parts.hint, `You can ask again in ${formatDuration(waitMs)}`);
  else if (remaining < 0) setText(parts.hint, `${formatCount(-remaining, "character")} too long`);
  else if (remaining <= SHOW_REMAINING_BELOW) setText(parts.hint, `${formatCount(remaining, "character")} left`);
  else setText(parts.hint, "");
  const notes = { excerpts: "Answers are quoted from the resume.", live: "Answers are generated and may be wrong." };
  setText(parts.note, client.session ? notes[client.session.mode ?? "live"] : "");
}

function drawConnection() {
  const delayMs = client.retryAt - Date.now();
  const texts = {
    open: "Connected",
    connecting: "Connecting…",
    waiting: delayMs > 1_000 ? `No connection. Next try in ${formatDuration(delayMs)}.` : "No connection. Trying again…",
    away: "Paused. Continues when you do.",
    closed: client.closeCode === 4409 ? "Opened in another window." : "Disconnected.",
  };
  parts.connection.dataset.state = client.state;
  setText(parts.connectionText, texts[client.state]);
  setText(parts.reconnect, client.state === "waiting" ? "Try now" : client.closeCode === 4409 ? "Continue here" : "Connect");
  parts.reconnect.hidden = client.state !== "closed" && !(client.state === "waiting" && delayMs > 1_000);
}

/** Draws everything that depends on the time, and draws it again each second during a countdown. */
function tick() {
  clearTimeout(tickTimer);
  drawConnection();
  drawComposer();
  for (const view of views.values()) view.draw();
  const next = Math.max(client.retryAt, blockedUntil) - Date.now();
  if (next > 0) tickTimer = setTimeout(tick, Math.min(next, 1_000) + 20);
}

/**
 * Sets a text if it changed, because screen readers read every change.
 * @param {HTMLElement} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {number} ms */
function formatDuration(ms) {
  const seconds = Math.ceil(ms / 1_000);
  return seconds < 90 ? `${seconds} s` : formatCount(Math.ceil(seconds / 60), "minute");
}

/** @param {number} number @param {string} noun */
function formatCount(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function atEnd() {
  const { scrollHeight, scrollTop, clientHeight } = parts.scroller;
  return scrollHeight - scrollTop - clientHeight < AT_END_PX;
}

function keepFollowing() {
  if (following) parts.scroller.scrollTop = parts.scroller.scrollHeight;
}

function scrollToEnd() {
  following = true;
  parts.toLatest.hidden = true;
  keepFollowing();
}

/** Focuses the question, except on touch screens, where the keyboard would cover the answer. */
function focusComposer() {
  if (matchMedia("(hover: hover) and (pointer: fine)").matches) parts.question.focus({ preventScroll: true });
}

function resizeComposer() {
  parts.question.style.height = "auto";
  parts.question.style.height = `${parts.question.scrollHeight}px`;
}

/** @param {string} question */
function ask(question) {
  if (Date.now() < blockedUntil || !client.ask(question)) return false;
  parts.announcer.replaceChildren();
  scrollToEnd();
  return true;
}

/** @param {Turn} turn */
function askAgain(turn) {
  if (client.busy || Date.now() < blockedUntil) return;
  parts.announcer.replaceChildren();
  client.askAgain(turn);
  scrollToEnd();
  focusComposer();
}

function submit() {
  const text = parts.question.value.trim();
  const limit = client.session?.limits?.max_question_chars ?? Infinity;
  if (!text || [...text].length > limit || !ask(text)) return;
  parts.question.value = "";
  resizeComposer();
  drawComposer();
}

client.addEventListener("state", () => tick());

client.addEventListener("session", () => {
  const name = client.session?.resume?.name?.trim() ?? "";
  const title = name ? `Ask about ${name}` : "Ask about this resume";
  document.title = title;
  setText(parts.title, title);
  setText(parts.welcomeTitle, title);
  const words = name.split(/\s+/);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("");
  for (const node of document.querySelectorAll('[data-part="monogram"]')) node.textContent = initials.toUpperCase();
  parts.suggestions.replaceChildren(
    ...(client.session?.suggestions ?? []).map((suggestion) => {
      const item = createElement("li");
      const button = createElement("button", "", suggestion);
      button.type = "button";
      button.dir = "auto";
      button.addEventListener("click", () => {
        // The suggestion is removed now and would lose the focus.
        if (ask(suggestion)) parts.scroller.focus({ preventScroll: true });
        focusComposer();
      });
      item.append(button);
      return item;
    }),
  );
  drawFrame();
});

client.addEventListener("transcript", drawTranscript);

client.addEventListener("turn", (event) => {
  const { turn, change } = /** @type {CustomEvent<{turn: Turn, change: string}>} */ (event).detail;
  if (change === "added") {
    for (const view of views.values()) view.draw();
    parts.turns.append(viewOf(turn).root);
    drawFrame();
    keepFollowing();
    return;
  }
  viewOf(turn).drawSoon();
  if (change === "delta") return;
  if (change === "done" && turn.error?.retryAt && turn.error.retryAt > blockedUntil) {
    blockedUntil = turn.error.retryAt;
    tick();
  }
  drawComposer();
});

client.addEventListener("ended", () => addRemark("The earlier conversation has ended. This is a new one that does not include it."));

client.addEventListener("notice", (event) => {
  const frame = /** @type {CustomEvent<{code: string, message?: string}>} */ (event).detail;
  if (frame.message && !HIDDEN_NOTICES.has(frame.code)) addRemark(frame.message);
});

client.addEventListener("error", (event) => {
  addRemark(/** @type {CustomEvent<{message: string}>} */ (event).detail.message);
});

parts.form.addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  if (client.busy) client.cancel();
  else submit();
  focusComposer();
});

parts.question.addEventListener("keydown", (event) => {
  // In many languages Enter also completes the composition of a character.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!client.busy) submit();
});

parts.question.addEventListener("input", () => {
  resizeComposer();
  drawComposer();
});

parts.reconnect.addEventListener("click", () => {
  client.connect();
  focusComposer();
});

parts.startOver.addEventListener("click", () => {
  parts.announcer.replaceChildren();
  parts.turns.replaceChildren();
  client.startOver();
  announce("A new conversation.");
  parts.question.focus({ preventScroll: true });
});

parts.forget.addEventListener("click", () => {
  if (!confirm("Delete this conversation? This cannot be undone.")) return;
  if (!client.forget()) addRemark("The conversation can be deleted when the connection is back.");
});

client.addEventListener("forgotten", () => {
  parts.announcer.replaceChildren();
  parts.turns.replaceChildren();
  announce("The conversation is deleted. This is a new one.");
  parts.question.focus({ preventScroll: true });
});

parts.earlier.addEventListener("click", () => {
  following = false;
  parts.scroller.focus({ preventScroll: true });
  client.loadEarlier();
});

parts.toLatest.addEventListener("click", () => {
  scrollToEnd();
  focusComposer();
});

parts.scroller.addEventListener(
  "scroll",
  () => {
    following = atEnd();
    parts.toLatest.hidden = following;
  },
  { passive: true },
);

// A rotated window or an on-screen keyboard moves the end too.
const resizeObserver = new ResizeObserver(keepFollowing);
resizeObserver.observe(parts.column);
resizeObserver.observe(parts.scroller);

client.connect();
focusComposer();
