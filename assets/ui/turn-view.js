/** Shows a question and its answer, with everything that is about this turn. */

import { AnswerActions } from "./answer-actions.js";
import { createButton, createElement, createIcon, setText } from "./dom.js";
import { isQuote, isUnfinished, loadOutcomeText, loadText, noticeText, outcomeText, waitingText } from "./notices.js";
import { StreamingMarkdown } from "./streaming-markdown.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./chat-view.js").ChatView} ChatView */

/** A paragraph longer than this is drawn less often, because every delta lays it out again. */
const LONG_BLOCK_CHARS = 8_000;
const LONG_BLOCK_INTERVAL_MS = 120;

export class TurnView {
  root = createElement("li", { className: "turn" });
  #turn;
  #chat;
  #text;
  #actions;
  #notices = createElement("div", { className: "notices" });
  #label = createElement("div", { className: "label" });
  #waitingText = createElement("span");
  #waiting = createElement("div", { className: "waiting" }, createElement("i"), createElement("i"), createElement("i"), this.#waitingText);
  #outcomeLabel = createElement("span");
  #askAgain;
  #outcome;
  #drawnAt = 0;
  #drawScheduled = false;
  /** Whether to pass the answer to screen readers. Not for answers that were finished before. */
  #announces;

  /** @param {Turn} turn @param {ChatView} chat */
  constructor(turn, chat) {
    const { t } = chat;
    this.#turn = turn;
    this.#chat = chat;
    this.#announces = isUnfinished(turn.status);
    this.#text = new StreamingMarkdown({ t, linkHosts: new Set(chat.client.session?.link_hosts), headingLevel: chat.options.embedded ? 3 : 2 });
    this.#actions = new AnswerActions(turn, chat);
    this.#label.append(createIcon("quote"), t("turn.quoted"));
    this.#askAgain = createButton({ click: () => chat.askAgain(turn) }, t("action.askAgain"));
    this.#outcome = createElement("div", { className: "outcome" }, this.#outcomeLabel, this.#askAgain);
    if (turn.question) {
      const question = createElement("div", { className: "asked", part: "question" }, createElement("div", { dir: "auto" }, turn.question));
      this.root.append(createElement("span", { className: "visually-hidden" }, t("turn.asked")), question);
    }
    const answer = createElement("div", { className: "answer", part: "answer" });
    answer.append(createElement("span", { className: "visually-hidden" }, t("turn.answer")), this.#label, this.#text.node);
    answer.append(this.#waiting, this.#outcome, this.#actions.root);
    this.root.append(this.#notices, answer);
    this.draw();
  }

  /**
   * Adds a notice about this answer, above it.
   * @param {{code: string, message?: string}} notice
   */
  async addNotice(notice) {
    await loadText(this.#chat.t, `notice.${notice.code}`);
    const text = noticeText(this.#chat.t, notice);
    if (!text || [...this.#notices.children].some((node) => node.textContent === text)) return;
    this.#notices.append(createElement("p", {}, text));
    this.#chat.announce(text);
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
    const { client, t, announce, blockedUntil } = this.#chat;
    const { status, answer, mode, error, past, question } = this.#turn;
    const loading = loadOutcomeText(t, this.#turn);
    if (loading) return void loading.then(() => this.draw());
    const unfinished = isUnfinished(status);
    const quoted = isQuote(this.#turn);
    const outcome = outcomeText(t, this.#turn);
    this.root.dataset.status = status;
    this.root.dataset.mode = mode;
    const final = this.#text.update(answer, unfinished);
    if (this.#announces && final) announce(final);
    if (this.#announces && !unfinished) {
      this.#announces = false;
      announce(`${quoted ? `${t("turn.quoted")}: ` : ""}${this.#text.tail}`);
      announce(outcome);
    }
    this.#label.hidden = !quoted;
    this.#waiting.hidden = !unfinished || answer !== "";
    setText(this.#waitingText, waitingText(t, this.#turn, client.state));
    const last = client.turns.at(-1) === this.#turn;
    const askable = last && question !== "" && !past;
    const retryable = status === "failed" ? (error?.retryable ?? true) : status === "interrupted";
    setText(this.#outcomeLabel, outcome);
    this.#outcome.classList.toggle("failed", status === "failed");
    this.#outcome.hidden = unfinished || outcome === "";
    this.#askAgain.hidden = !askable || !retryable;
    this.#askAgain.disabled = client.busy || Date.now() < Math.max(blockedUntil, error?.retryAt ?? 0);
    // The outcome already has a button to ask again.
    this.#actions.draw(unfinished, askable && this.#askAgain.hidden);
    this.#chat.onResize();
  }
}
