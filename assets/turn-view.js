/** A question and its answer on the screen, with what can be done about the answer. */

import { GrowingText, make } from "./streaming-markdown.js";

/** @typedef {import("./turn.js").Turn} Turn */

/**
 * @typedef {object} Page  what a view needs of the page around it
 * @property {import("./client.js").ChatClient} client
 * @property {(turn: Turn) => void} askAgain
 * @property {(text: string) => void} announce   reads it aloud, where somebody listens
 * @property {() => void} grown                  the view may have become longer
 * @property {() => number} blockedUntil         until when the server wants no questions, in milliseconds since the epoch
 */

/** A paragraph without end is laid out anew with each word, so it is then done less often. */
const LONG_BLOCK_CHARS = 8_000;
const LONG_BLOCK_PAUSE_MS = 120;

const GOING_ON = new Set(["sending", "accepted", "queued", "streaming"]);
const THUMB_ICON = "M6 9v8H3V9zm0 0 4-6c1.4 0 2 .9 1.7 2.2L11 8h4.6c1.1 0 1.7.9 1.4 1.9l-1.7 5.6c-.3.9-1 1.5-2 1.5H6";
const QUOTE_ICON = "M4 12c0-3.5 1.6-6 4.4-7l.7 1.3C7.6 7.1 6.9 8.2 6.8 9.5h2.7V15H4zm7 0c0-3.5 1.6-6 4.4-7l.7 1.3c-1.5.8-2.2 1.9-2.3 3.2h2.7V15H11z";

/** A question and its answer on the screen. */
export class TurnView {
  root = make("li", "turn");
  #turn;
  #page;
  #label = make("div", "label");
  #text = new GrowingText();
  #waiting = make("div", "waiting");
  #waitingText = make("span");
  #outcome = make("div", "outcome");
  #outcomeText = make("span");
  #again = make("button", "", "Ask again");
  #actions = make("div", "actions");
  #anew = make("button", "", "Answer again");
  /** @type {Record<"up" | "down", HTMLButtonElement>} */
  #thumbs = { up: make("button", "thumb"), down: make("button", "thumb down") };
  #drawnAt = 0;
  #planned = false;
  /** Answers that were there before are not read aloud. */
  #readAloud;

  /** @param {Turn} turn @param {Page} page */
  constructor(turn, page) {
    this.#turn = turn;
    this.#page = page;
    this.#readAloud = GOING_ON.has(turn.status);
    if (turn.question) {
      const asked = make("div", "asked");
      asked.dir = "auto";
      asked.textContent = turn.question;
      this.root.append(make("span", "unseen", "You asked:"), asked);
    }
    const answer = make("div", "answer");
    this.#label.append(iconOf(QUOTE_ICON), "Quoted from the resume");
    this.#waiting.append(make("i"), make("i"), make("i"), this.#waitingText);
    this.#again.type = "button";
    this.#again.addEventListener("click", () => page.askAgain(this.#turn));
    this.#outcome.append(this.#outcomeText, this.#again);
    for (const rating of /** @type {const} */ (["up", "down"])) {
      const thumb = this.#thumbs[rating];
      thumb.type = "button";
      thumb.setAttribute("aria-label", rating === "up" ? "This answer helped" : "This answer did not help");
      thumb.append(iconOf(THUMB_ICON));
      thumb.addEventListener("click", () => {
        page.client.rate(this.#turn, this.#turn.rating === rating ? null : rating);
        this.draw();
      });
    }
    this.#anew.type = "button";
    this.#anew.addEventListener("click", () => page.askAgain(this.#turn));
    this.#actions.append(this.#thumbs.up, this.#thumbs.down, this.#anew);
    const said = [this.#label, this.#text.node, this.#waiting, this.#outcome, this.#actions];
    answer.append(make("span", "unseen", "Answer:"), ...said);
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
    const { client } = this.#page;
    const goingOn = GOING_ON.has(status);
    this.root.dataset.status = status;
    this.root.dataset.mode = mode;
    const final = this.#text.show(answer, goingOn);
    if (this.#readAloud && final) this.#page.announce(final);
    if (this.#readAloud && !goingOn) {
      this.#readAloud = false;
      this.#page.announce(`${mode === "excerpts" ? "Quoted from the resume: " : ""}${this.#text.rest}`);
      this.#page.announce(outcomeOf(this.#turn));
    }
    this.#label.hidden = mode !== "excerpts" || !answer;
    this.#waiting.hidden = !goingOn || answer !== "";
    this.#waitingText.textContent = waitingText(status, position, client.state);
    this.#outcomeText.textContent = outcomeOf(this.#turn);
    this.#outcome.classList.toggle("failed", status === "failed");
    this.#outcome.hidden = goingOn || this.#outcomeText.textContent === "";
    const last = client.turns.at(-1) === this.#turn;
    const askable = last && Boolean(this.#turn.question) && !this.#turn.past;
    this.#again.hidden = !askable || !((status === "failed" && (error?.retryable ?? true)) || status === "interrupted");
    this.#again.disabled = Date.now() < Math.max(this.#page.blockedUntil(), error?.retryAt ?? 0);
    this.#drawActions(goingOn, askable);
    this.#page.grown();
  }

  /** @param {boolean} goingOn @param {boolean} askable */
  #drawActions(goingOn, askable) {
    const { turnId, past, answer, rating } = this.#turn;
    this.#actions.hidden = goingOn || past || !turnId || answer === "";
    for (const [name, thumb] of Object.entries(this.#thumbs)) {
      thumb.setAttribute("aria-pressed", String(rating === name));
      thumb.disabled = this.#page.client.state !== "open";
    }
    // Where asking again is what the outcome offers, once is enough.
    this.#anew.hidden = !askable || !this.#again.hidden;
    this.#anew.disabled = this.#page.client.busy || Date.now() < this.#page.blockedUntil();
  }
}

/** @param {string} drawing */
function iconOf(drawing) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  icon.setAttribute("viewBox", "0 0 20 20");
  icon.setAttribute("aria-hidden", "true");
  path.setAttribute("d", drawing);
  icon.append(path);
  return icon;
}

/** @param {Turn["status"]} status @param {number | null} position @param {string} connection */
function waitingText(status, position, connection) {
  if (status === "queued") return position ? `Waiting for a free place: number ${position} in line` : "Waiting for a free place";
  if (status === "sending" && connection !== "open") return "Will be sent as soon as there is a connection";
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
