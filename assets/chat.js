/** The chat page: shows a ChatClient's conversation, building every node by hand so that no text can ever become markup. */

import { ChatClient } from "./client.js";
import { make } from "./streaming-markdown.js";
import { TurnView } from "./turn-view.js";

/** @typedef {import("./turn.js").Turn} Turn */

/** Closer to the end than this counts as reading along. */
const AT_END_PX = 48;
/** The counter of characters only shows up when it begins to matter. */
const COUNT_FROM_REMAINING = 200;
/** Notices about the connection's own housekeeping, which the page deals with by itself. */
const UNSHOWN_NOTICES = new Set(["IDLE_SOON", "RECOVERED", "DRAINING"]);

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

// Relative to the page, so that it also works below a path of somebody else's site.
const address = new URL("ws/chat", document.baseURI);
address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
const client = new ChatClient({ url: address });

/** @type {Map<Turn, TurnView>} */
const views = new Map();
/** @type {import("./turn-view.js").Page} */
const page = { client, askAgain, announce, grown: keepFollowing, blockedUntil: () => blockedUntil };
/** Until when the server wants no questions, in milliseconds since the epoch. */
let blockedUntil = 0;
let following = true;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let clock;

/** @param {string} text */
function announce(text) {
  if (text.trim()) parts.announcer.append(make("p", "", text.replace(/[*`>#]+/g, "")));
}

/** @param {string} text */
function addLine(text) {
  const line = make("li", "line", text);
  line.dir = "auto";
  parts.turns.append(line);
  announce(text);
  keepFollowing();
}

function drawTranscript() {
  const lines = [...parts.turns.querySelectorAll(".line")].map((line) => /** @type {const} */ ([line.previousSibling, line]));
  for (const turn of views.keys()) if (!client.turns.includes(turn)) views.delete(turn);
  parts.turns.replaceChildren(...client.turns.map((turn) => viewOf(turn).root));
  // A remark stays behind the turn it followed, if that is still there.
  for (const [before, line] of lines) {
    if (before instanceof HTMLElement && before.parentNode === parts.turns) before.after(line);
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

/** Everything around the transcript. */
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
  // Counted as the server counts: whole characters, not the halves some of them have in this language.
  const remaining = text.length * 2 < limit ? Infinity : limit - [...text].length;
  const waitMs = blockedUntil - Date.now();
  const stops = client.busy;
  parts.send.dataset.does = stops ? "stop" : "send";
  parts.send.setAttribute("aria-label", stops ? "Stop the answer" : "Send");
  parts.send.disabled = !stops && (text === "" || remaining < 0 || waitMs > 0);
  parts.hint.dataset.kind = remaining < 0 ? "over" : "";
  // Each second of the count-down would otherwise be read aloud.
  parts.hint.setAttribute("aria-live", waitMs > 0 ? "off" : "polite");
  if (waitMs > 0) setText(parts.hint, `You can ask again in ${duration(waitMs)}`);
  else if (remaining < 0) setText(parts.hint, `${count(-remaining, "character")} too long`);
  else if (remaining <= COUNT_FROM_REMAINING) setText(parts.hint, `${count(remaining, "character")} left`);
  else setText(parts.hint, "");
  const note = { excerpts: "Answers are quoted from the resume.", live: "Answers are generated and may be wrong." };
  setText(parts.note, client.session ? note[client.session.mode ?? "live"] : "");
}

function drawConnection() {
  const seconds = client.retryAt - Date.now();
  const texts = {
    open: "Connected",
    connecting: "Connecting…",
    waiting: seconds > 1_000 ? `No connection. Next try in ${duration(seconds)}.` : "No connection. Trying again…",
    away: "Paused. Goes on when you do.",
    closed: client.closeCode === 4409 ? "Opened in another window." : "Disconnected.",
  };
  parts.connection.dataset.state = client.state;
  setText(parts.connectionText, texts[client.state]);
  setText(parts.reconnect, client.state === "waiting" ? "Try now" : client.closeCode === 4409 ? "Continue here" : "Connect");
  parts.reconnect.hidden = client.state !== "closed" && !(client.state === "waiting" && seconds > 1_000);
}

/** What counts down is drawn each second, and only then. */
function tick() {
  clearTimeout(clock);
  drawConnection();
  drawComposer();
  for (const view of views.values()) view.draw();
  const next = Math.max(client.retryAt, blockedUntil) - Date.now();
  if (next > 0) clock = setTimeout(tick, Math.min(next, 1_000) + 20);
}

/** @param {HTMLElement} node @param {string} text Unchanged text is left alone, so that it is not read aloud again. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.ceil(ms / 1_000);
  return seconds < 90 ? `${seconds} s` : count(Math.ceil(seconds / 60), "minute");
}

/** @param {number} number @param {string} noun */
function count(number, noun) {
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

/** On a touch screen the focus would raise the keyboard over the answer. */
function focusComposer() {
  if (matchMedia("(hover: hover) and (pointer: fine)").matches) parts.question.focus({ preventScroll: true });
}

function growComposer() {
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
  growComposer();
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
      const item = make("li");
      const button = make("button", "", suggestion);
      button.type = "button";
      button.dir = "auto";
      button.addEventListener("click", () => {
        // The chip is about to vanish, and the focus must not vanish with it.
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

client.addEventListener("ended", () => addLine("The earlier conversation has ended. This is a new one, which does not know what was said before."));

client.addEventListener("notice", (event) => {
  const frame = /** @type {CustomEvent<{code: string, message?: string}>} */ (event).detail;
  if (frame.message && !UNSHOWN_NOTICES.has(frame.code)) addLine(frame.message);
});

client.addEventListener("error", (event) => {
  addLine(/** @type {CustomEvent<{message: string}>} */ (event).detail.message);
});

parts.form.addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  if (client.busy) client.cancel();
  else submit();
  focusComposer();
});

parts.question.addEventListener("keydown", (event) => {
  // Enter also ends the composition of a character in many languages; that must not send.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!client.busy) submit();
});

parts.question.addEventListener("input", () => {
  growComposer();
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
  if (!confirm("Delete this conversation? It cannot be brought back.")) return;
  if (!client.forget()) addLine("The conversation can be deleted as soon as there is a connection.");
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

// The end moves without a new word when a window is turned or a keyboard rises.
const moved = new ResizeObserver(keepFollowing);
moved.observe(parts.column);
moved.observe(parts.scroller);

client.connect();
focusComposer();
