/** Shows a question and its answer, with the buttons to rate the answer and to ask again. */

import { StreamingMarkdown, createElement } from "./streaming-markdown.js";

/** @typedef {import("../client/turn.js").Turn} Turn */

/**
 * @typedef {object} Page  the page around a view
 * @property {import("../client/client.js").ChatClient} client
 * @property {(turn: Turn) => void} askAgain
 * @property {(text: string) => void} announce   passes a text to screen readers
 * @property {() => void} onResize               called when the view may have become longer
 * @property {() => number} blockedUntil         the time at which the server accepts questions
 *   again, in milliseconds since the epoch
 */

/** A paragraph longer than this is drawn less often, because every delta lays it out again. */
const LONG_BLOCK_CHARS = 8_000;
const LONG_BLOCK_INTERVAL_MS = 120;

const UNFINISHED = new Set(["sending", "accepted", "queued", "streaming"]);
const THUMB_ICON = "M6 9v8H3V9zm0 0 4-6c1.4 0 2 .9 1.7 2.2L11 8h4.6c1.1 0 1.7.9 1.4 1.9l-1.7 5.6c-.3.9-1 1.5-2 1.5H6";
const QUOTE_ICON = "M4 12c0-3.5 1.6-6 4.4-7l.7 1.3C7.6 7.1 6.9 8.2 6.8 9.5h2.7V15H4zm7 0c0-3.5 1.6-6 4.4-7l.7 1.3c-1.5.8-2.2 1.9-2.3 3.2h2.7V15H11z";

export class TurnView {
  root = createElement("li", "turn");
  #turn;
  #page;
  #label = createElement("div", "label");
  #text = new StreamingMarkdown();
  #waiting = createElement("div", "waiting");
  #waitingText = createElement("span");
  #outcome = createElement("div", "outcome");
  #outcomeLabel = createElement("span");
  #askAgain = createElement("button", "", "Ask again");
  #actions = createElement("div", "actions");
  #regenerate = createElement("button", "", "Answer again");
  /** @type {Record<"up" | "down", HTMLButtonElement>} */
  #thumbs = { up: createElement("button", "thumb"), down: createElement("button", "thumb down") };
  #drawnAt = 0;
  #drawScheduled = false;
  /** Whether to pass the answer to screen readers. Not for answers that were finished before. */
  #announces;

  /** @param {Turn} turn @param {Page} page */
  constructor(turn, page) {
    this.#turn = turn;
    this.#page = page;
    this.#announces = UNFINISHED.has(turn.status);
    if (turn.question) {
      const question = createElement("div", "asked");
      question.dir = "auto";
      question.textContent = turn.question;
      this.root.append(createElement("span", "visually-hidden", "You asked:"), question);
    }
    const answer = createElement("div", "answer");
    this.#label.append(createIcon(QUOTE_ICON), "Quoted from the resume");
    this.#waiting.append(createElement("i"), createElement("i"), createElement("i"), this.#waitingText);
    this.#askAgain.type = "button";
    this.#askAgain.addEventListener("click", () => page.askAgain(this.#turn));
    this.#outcome.append(this.#outcomeLabel, this.#askAgain);
    for (const rating of /** @type {const} */ (["up", "down"])) {
      const thumb = this.#thumbs[rating];
      thumb.type = "button";
      thumb.setAttribute("aria-label", rating === "up" ? "This answer helped" : "This answer did not help");
      thumb.append(createIcon(THUMB_ICON));
      thumb.addEventListener("click", () => {
        page.client.rate(this.#turn, this.#turn.rating === rating ? null : rating);
        this.draw();
      });
    }
    this.#regenerate.type = "button";
    this.#regenerate.addEventListener("click", () => page.askAgain(this.#turn));
    this.#actions.append(this.#thumbs.up, this.#thumbs.down, this.#regenerate);
    const parts = [this.#label, this.#text.node, this.#waiting, this.#outcome, this.#actions];
    answer.append(createElement("span", "visually-hidden", "Answer:"), ...parts);
    this.root.append(answer);
    this.draw();
  }

  /** Draws in the next animation frame, once for all changes until then. */
  drawSoon() {
    if (this.#drawScheduled) return;
    this.#drawScheduled = true;
    const delayMs = this.#text.tailLength > LONG_BLOCK_CHARS ? LONG_BLOCK_INTERVAL_MS - (performance.now() - this.#drawnAt) : 0;
    const draw = () => requestAnimationFrame(() => this.draw());
    // A page in the background has no animation frames and does not need to be drawn.
    if (delayMs > 0) setTimeout(draw, delayMs);
    else draw();
  }

  draw() {
    this.#drawScheduled = false;
    this.#drawnAt = performance.now();
    const { status, answer, mode, error, position } = this.#turn;
    const { client } = this.#page;
    const unfinished = UNFINISHED.has(status);
    this.root.dataset.status = status;
    this.root.dataset.mode = mode;
    const final = this.#text.update(answer, unfinished);
    if (this.#announces && final) this.#page.announce(final);
    if (this.#announces && !unfinished) {
      this.#announces = false;
      this.#page.announce(`${mode === "excerpts" ? "Quoted from the resume: " : ""}${this.#text.tail}`);
      this.#page.announce(outcomeText(this.#turn));
    }
    this.#label.hidden = mode !== "excerpts" || !answer;
    this.#waiting.hidden = !unfinished || answer !== "";
    this.#waitingText.textContent = waitingText(status, position, client.state);
    this.#outcomeLabel.textContent = outcomeText(this.#turn);
    this.#outcome.classList.toggle("failed", status === "failed");
    this.#outcome.hidden = unfinished || this.#outcomeLabel.textContent === "";
    const last = client.turns.at(-1) === this.#turn;
    const askable = last && Boolean(this.#turn.question) && !this.#turn.past;
    this.#askAgain.hidden = !askable || !((status === "failed" && (error?.retryable ?? true)) || status === "interrupted");
    this.#askAgain.disabled = Date.now() < Math.max(this.#page.blockedUntil(), error?.retryAt ?? 0);
    this.#drawActions(unfinished, askable);
    this.#page.onResize();
  }

  /** @param {boolean} unfinished @param {boolean} askable */
  #drawActions(unfinished, askable) {
    const { turnId, past, answer, rating } = this.#turn;
    this.#actions.hidden = unfinished || past || !turnId || answer === "";
    for (const [name, thumb] of Object.entries(this.#thumbs)) {
      thumb.setAttribute("aria-pressed", String(rating === name));
      thumb.disabled = this.#page.client.state !== "open";
    }
    // The outcome already has a button to ask again.
    this.#regenerate.hidden = !askable || !this.#askAgain.hidden;
    this.#regenerate.disabled = this.#page.client.busy || Date.now() < this.#page.blockedUntil();
  }
}

/** @param {string} pathData */
function createIcon(pathData) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  icon.setAttribute("viewBox", "0 0 20 20");
  icon.setAttribute("aria-hidden", "true");
  path.setAttribute("d", pathData);
  icon.append(path);
  return icon;
}

/** @param {Turn["status"]} status @param {number | null} position @param {string} connection */
function waitingText(status, position, connection) {
  if (status === "queued") return position ? `Waiting in the queue at position ${position}` : "Waiting in the queue";
  if (status === "sending" && connection !== "open") return "Will be sent when the connection is back";
  return "";
}

/** @param {Turn} turn */
function outcomeText({ status, error, answer }) {
  if (error && status === "failed") return error.message;
  if (status === "failed") return "Something went wrong, so there is no answer.";
  if (status === "interrupted") return answer ? "The answer was interrupted here." : "This question was not answered.";
  if (status === "cancelled") return "Stopped.";
  if (status === "length") return "The answer ends here because it reached the maximum length.";
  return "";
}
