/** A turn: a question with its answer, created by the visitor or from the history of the server. */

/**
 * @typedef {"sending" | "accepted" | "queued" | "streaming" | "complete" | "length" | "cancelled" | "interrupted" | "failed"} TurnStatus
 *
 * @typedef {object} TurnError
 * @property {string} code     an error code of the protocol, or `CONNECTION_CLOSED` if the client
 *   does not reconnect
 * @property {string} message  a sentence for the visitor
 * @property {boolean} retryable
 * @property {number} retryAt  the earliest time at which a retry can succeed, in milliseconds since
 *   the epoch; 0 if unknown
 *
 * @typedef {object} Turn
 * @property {string} id             the id of the question, chosen by the client; makes sending it
 *   twice harmless
 * @property {string | null} turnId  the id given by the server when it accepts the question
 * @property {string} question
 * @property {string} answer         the answer so far
 * @property {number} seq            the number of the last delta in `answer`
 * @property {TurnStatus} status
 * @property {"live" | "excerpts"} mode
 * @property {string | null} model   the model that answered, if the server named it
 * @property {TurnError | null} error
 * @property {number | null} position    the position in the queue while the status is `queued`
 * @property {boolean} thinking      true while the model thinks before the first word of its answer
 * @property {boolean} past          true if the session of the turn has ended
 * @property {boolean} uncertain     true if it is not known whether the next delta continues or
 *   restarts the answer
 * @property {{text: string, seq: number}} late  deltas after the visitor pressed stop; shown only
 *   if the answer completed
 * @property {Turn | null} replaces  the turn whose question this one answers again
 * @property {"up" | "down" | null} rating
 * @property {number} lostChars      the number of characters at the end of `answer` that the server
 *   lost in a crash
 * @property {string} read           the answer that was shown before it was requested again
 *
 * @typedef {object} HistoryMessage
 * @property {string} turn_id
 * @property {string} role
 * @property {string} content
 * @property {string} [status]
 * @property {"live" | "excerpts"} [mode]
 * @property {string} [superseded_by]
 * @property {"up" | "down"} [rating]
 */

/** Statuses that do not change any more. */
export const FINAL = new Set(["complete", "length", "cancelled", "interrupted", "failed"]);

/**
 * Creates a turn for a question that is not sent yet.
 * @param {{id: string, question: string, mode?: "live" | "excerpts"}} fields
 * @returns {Turn}
 */
export function newTurn({ id, question, mode }) {
  return {
    id,
    turnId: null,
    question,
    answer: "",
    seq: 0,
    status: "sending",
    mode: mode ?? "live",
    model: null,
    error: null,
    position: null,
    thinking: false,
    past: false,
    uncertain: false,
    late: { text: "", seq: 0 },
    replaces: null,
    rating: null,
    lostChars: 0,
    read: "",
  };
}

/**
 * Pairs the messages of a history into turns.
 * @param {HistoryMessage[]} messages
 * @param {"live" | "excerpts"} [mode] of messages without a mode
 */
export function turnsFrom(messages, mode) {
  /** @type {Map<string, Turn>} */
  const turns = new Map();
  for (const message of messages) {
    // A later turn has the same question and replaces this one.
    if (message.superseded_by) continue;
    let turn = turns.get(message.turn_id);
    if (!turn) {
      turn = newTurn({ id: newId(), question: "", mode });
      Object.assign(turn, { turnId: message.turn_id, status: "interrupted", uncertain: true });
      turns.set(message.turn_id, turn);
    }
    const isAnswer = message.role === "assistant";
    turn[isAnswer ? "answer" : "question"] = message.content;
    if (isAnswer && message.mode) turn.mode = message.mode;
    if (isAnswer) turn.rating = message.rating ?? null;
    const status = message.status ?? (isAnswer ? "complete" : turn.status);
    turn.status = FINAL.has(status) ? /** @type {TurnStatus} */ (status) : "accepted";
  }
  return [...turns.values()];
}

/**
 * Returns true if a delta restarts the answer of a turn whose position is uncertain.
 * @param {Turn} turn
 * @param {{seq: number, text: string, replay?: boolean}} delta
 */
export function restartsAnswer(turn, delta) {
  if (delta.seq === 1 || delta.seq <= turn.seq) return true;
  return Boolean(delta.replay) && (delta.text.startsWith(turn.answer) || turn.answer.startsWith(delta.text));
}

/**
 * Keeps the words that the visitor has read if the server knows fewer after a crash. Returns
 * whether it does.
 * @param {Turn} turn an answer that was interrupted, as the server knows it
 */
export function keepWhatWasRead(turn) {
  const { read, answer } = turn;
  turn.read = "";
  if (read.length <= answer.length || !read.startsWith(answer)) return false;
  turn.answer = read;
  turn.lostChars = [...read.slice(answer.length)].length;
  return true;
}

/**
 * Returns a random id. Does not use `crypto.randomUUID`, which is missing on pages served without
 * TLS.
 */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
