/** The chat page: shows a ChatClient's conversation, building every node by hand so that no text can ever become markup. */

import { ChatClient } from "./client.js";

/** @typedef {import("./client.js").Turn} Turn */
/** @typedef {{kind: string, start: number, lines: string[]}} Block */

/** Closer to the end than this counts as reading along. */
const AT_END_PX = 48;
/** The counter of characters only shows up when it begins to matter. */
const COUNT_FROM_REMAINING = 200;
/** A paragraph without end is laid out anew with each word, so it is then done less often. */
const LONG_BLOCK_CHARS = 8_000;
const LONG_BLOCK_PAUSE_MS = 120;
/** Quotes inside quotes beyond this depth are shown as they were written. */
const MAX_QUOTE_DEPTH = 3;

const GOING_ON = new Set(["sending", "accepted", "queued", "streaming"]);
/** Notices about the connection's own housekeeping, which the page deals with by itself. */
const UNSHOWN_NOTICES = new Set(["IDLE_SOON", "RECOVERED", "DRAINING"]);
const QUOTE_ICON = "M4 12c0-3.5 1.6-6 4.4-7l.7 1.3C7.6 7.1 6.9 8.2 6.8 9.5h2.7V15H4zm7 0c0-3.5 1.6-6 4.4-7l.7 1.3c-1.5.8-2.2 1.9-2.3 3.2h2.7V15H11z";

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Answers: a small subset of Markdown.

/**
 * Splits a text into blocks, each with its offset, so that while a text grows only its end has to be read again.
 * @param {string} text
 */
function blocksOf(text) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {Block | null} */
  let open = null;
  let start = 0;
  for (const line of text.split("\n")) {
    const kind = kindOf(line, open);
    if (kind === "blank" || kind === "fence-end") {
      open = null;
    } else if (open && open.kind === kind) {
      open.lines.push(line);
    } else {
      open = { kind, start, lines: [line] };
      blocks.push(open);
      if (kind === "heading") open = null;
    }
    start += line.length + 1;
  }
  return blocks;
}

/** @param {string} line @param {Block | null} open */
function kindOf(line, open) {
  const fence = /^\s*```/.test(line);
  if (open?.kind === "code") return fence ? "fence-end" : "code";
  if (fence) return "code";
  if (!line.trim()) return "blank";
  if (/^>/.test(line)) return "quote";
  if (/^\s*[-*•]\s/.test(line)) return "bullets";
  if (/^\s*\d{1,3}[.)]\s/.test(line)) return "numbers";
  // An indented line carries on the item above it.
  if (/^\s+\S/.test(line) && (open?.kind === "bullets" || open?.kind === "numbers")) return open.kind;
  if (/^#{1,6}\s/.test(line)) return "heading";
  return "paragraph";
}

/**
 * A block's node, which takes its direction from its own text; what is inside has none of its own, or it would not be counted.
 * @param {Block} block
 */
function directed(block) {
  const node = nodeOf(block);
  node.dir = "auto";
  return node;
}

/** @param {Block} block @param {number} depth @returns {HTMLElement} */
function nodeOf({ kind, lines }, depth = 0) {
  switch (kind) {
    case "code": {
      const node = make("pre");
      node.append(make("code", "", lines.slice(1).join("\n")));
      return node;
    }
    case "quote": {
      const node = make("blockquote");
      const inner = lines.map((line) => line.replace(/^> ?/, "")).join("\n");
      if (depth < MAX_QUOTE_DEPTH) for (const block of blocksOf(inner)) node.append(nodeOf(block, depth + 1));
      else node.textContent = inner;
      return node;
    }
    case "bullets":
    case "numbers": {
      const node = make(kind === "bullets" ? "ul" : "ol");
      const mark = kind === "bullets" ? /^\s*[-*•]\s+/ : /^\s*(\d{1,3})[.)]\s+/;
      if (node instanceof HTMLOListElement) node.start = Number(lines[0]?.match(mark)?.[1] ?? 1);
      /** @type {string[]} */
      const items = [];
      for (const line of lines) {
        if (mark.test(line) || items.length === 0) items.push(line.replace(mark, ""));
        else items.push(`${items.pop()}\n${line.trim()}`);
      }
      for (const item of items) node.append(withInline(make("li"), item));
      return node;
    }
    case "heading": {
      const node = make("p");
      node.append(withInline(make("strong"), (lines[0] ?? "").replace(/^#+\s+/, "")));
      return node;
    }
    default:
      return withInline(make("p"), lines.join("\n"));
  }
}

/**
 * Fills a node with a text's bold, emphasised and code parts; what has no end stays as it was written.
 * @template {HTMLElement} N
 * @param {N} node @param {string} text
 */
function withInline(node, text) {
  let from = 0;
  for (const match of text.matchAll(/\*\*(?=\S)([^*\n]+)\*\*|`([^`\n]+)`|\*(?=\S)([^*\n]*[^*\s])\*/g)) {
    const [whole, bold, code, emphasis] = match;
    node.append(text.slice(from, match.index));
    node.append(bold ? make("strong", "", bold) : code ? make("code", "", code) : make("em", "", emphasis));
    from = match.index + whole.length;
  }
  node.append(text.slice(from));
  return node;
}

/**
 * Bold text whose end has not come yet is shown bold at once, so that its asterisks do not flicker.
 * @param {string} text
 */
function withBoldClosed(text) {
  const at = text.lastIndexOf("\n") + 1;
  const line = text.slice(at).replace(/\*+$/, "");
  const unclosed = line.split("**").length % 2 === 0;
  return text.slice(0, at) + line.trimEnd() + (unclosed ? "**" : "");
}

/** One growing text: finished blocks are left alone, only the end is built again. */
class GrowingText {
  node = make("div", "text");
  #shown = "";
  #growing = true;
  /** Where the part that may still change begins, and how many blocks come before it. */
  #tailStart = 0;
  #finished = 0;

  /**
   * @param {string} text @param {boolean} growing whether more is to come
   * @returns {string} what became final since the last time, for reading aloud
   */
  show(text, growing) {
    if (text === this.#shown && growing === this.#growing) return "";
    this.#growing = growing;
    if (!text.startsWith(this.#shown)) {
      this.#tailStart = 0;
      this.#finished = 0;
    }
    this.#shown = text;
    const before = this.#tailStart;
    const tail = text.slice(before);
    const blocks = blocksOf(growing ? withBoldClosed(tail) : tail);
    while (this.node.childNodes.length > this.#finished) this.node.lastChild?.remove();
    this.node.append(...blocks.map(directed));
    // A block of one unfinished line may yet turn out to belong to the block before it.
    const open = Math.max(0, blocks.length - (blocks.at(-1)?.lines.length === 1 ? 2 : 1));
    this.#tailStart = before + (blocks[open]?.start ?? 0);
    this.#finished += open;
    return text.slice(before, this.#tailStart);
  }

  /** What has not been handed out as final yet. */
  get rest() {
    return this.#shown.slice(this.#tailStart);
  }

  get tailLength() {
    return this.#shown.length - this.#tailStart;
  }
}

// The page.

/** @param {string} name @returns {any} */
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const parts = {
  connection: part("connection"),
  connectionText: part("connection-text"),
  reconnect: part("reconnect"),
  startOver: part("start-over"),
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
/** Until when the server wants no questions, in milliseconds since the epoch. */
let blockedUntil = 0;
let following = true;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let clock;

/** A question and its answer on the screen. */
class TurnView {
  root = make("li", "turn");
  #turn;
  #label = make("div", "label");
  #text = new GrowingText();
  #waiting = make("div", "waiting");
  #waitingText = make("span");
  #outcome = make("div", "outcome");
  #outcomeText = make("span");
  #again = make("button", "", "Ask again");
  #drawnAt = 0;
  #planned = false;
  /** Answers that were there before are not read aloud. */
  #readAloud;

  /** @param {Turn} turn */
  constructor(turn) {
    this.#turn = turn;
    this.#readAloud = GOING_ON.has(turn.status);
    if (turn.question) {
      const asked = make("div", "asked");
      asked.dir = "auto";
      asked.textContent = turn.question;
      this.root.append(make("span", "unseen", "You asked:"), asked);
    }
    const answer = make("div", "answer");
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    icon.setAttribute("viewBox", "0 0 20 20");
    icon.setAttribute("aria-hidden", "true");
    path.setAttribute("d", QUOTE_ICON);
    icon.append(path);
    this.#label.append(icon, "Quoted from the resume");
    this.#waiting.append(make("i"), make("i"), make("i"), this.#waitingText);
    this.#again.type = "button";
    this.#again.addEventListener("click", () => askAgain(this.#turn));
    this.#outcome.append(this.#outcomeText, this.#again);
    answer.append(make("span", "unseen", "Answer:"), this.#label, this.#text.node, this.#waiting, this.#outcome);
    this.root.append(answer);
    this.draw();
  }

  /** Draws with the next frame, however many words arrive until then. */
  drawSoon() {
    if (this.#planned) return;
    this.#planned = true;
    const pause = this.#text.tailLength > LONG_BLOCK_CHARS ? LONG_BLOCK_PAUSE_MS - (performance.now() - this.#drawnAt) : 0;
    const draw = () => requestAnimationFrame(() => this.draw());
    // A page in the background gets no frames, and needs none until it is looked at.
    if (pause > 0) setTimeout(draw, pause);
    else draw();
  }

  draw() {
    this.#planned = false;
    this.#drawnAt = performance.now();
    const { status, answer, mode, error, position } = this.#turn;
    const goingOn = GOING_ON.has(status);
    this.root.dataset.status = status;
    this.root.dataset.mode = mode;
    const final = this.#text.show(answer, goingOn);
    if (this.#readAloud && final) announce(final);
    if (this.#readAloud && !goingOn) {
      this.#readAloud = false;
      announce(`${mode === "excerpts" ? "Quoted from the resume: " : ""}${this.#text.rest}`);
      announce(outcomeOf(this.#turn));
    }
    this.#label.hidden = mode !== "excerpts" || !answer;
    this.#waiting.hidden = !goingOn || answer !== "";
    this.#waitingText.textContent = waitingText(status, position);
    this.#outcomeText.textContent = outcomeOf(this.#turn);
    this.#outcome.classList.toggle("failed", status === "failed");
    this.#outcome.hidden = goingOn || this.#outcomeText.textContent === "";
    const last = client.turns.at(-1) === this.#turn;
    const askable = last && Boolean(this.#turn.question) && !this.#turn.past;
    this.#again.hidden = !askable || !((status === "failed" && (error?.retryable ?? true)) || status === "interrupted");
    this.#again.disabled = Date.now() < Math.max(blockedUntil, error?.retryAt ?? 0);
    keepFollowing();
  }
}

/** @param {Turn["status"]} status @param {number | null} position */
function waitingText(status, position) {
  if (status === "queued") return position ? `Waiting for a free place: number ${position} in line` : "Waiting for a free place";
  if (status === "sending" && client.state !== "open") return "Will be sent as soon as there is a connection";
  return "";
}

/** @param {Turn} turn */
function outcomeOf({ status, error, answer }) {
  if (error && status === "failed") return error.message;
  if (status === "failed") return "Something went wrong, and there is no answer.";
  if (status === "interrupted") return answer ? "The answer was interrupted here." : "This question was not answered.";
  if (status === "cancelled") return "Stopped.";
  if (status === "length") return "The answer ends here because it reached its greatest length.";
  return "";
}

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
    view = new TurnView(turn);
    views.set(turn, view);
  }
  return view;
}

/** Everything around the transcript. */
function drawFrame() {
  const empty = client.turns.length === 0;
  parts.welcome.hidden = !empty;
  parts.startOver.hidden = empty;
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
  const last = client.turns.at(-1);
  if (last) views.get(last)?.draw();
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
