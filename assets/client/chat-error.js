/** The error of a question without a whole answer. */

export class ChatError extends Error {
  name = "ChatError";

  /**
   * @param {string} code an error code of the protocol, `CONNECTION_CLOSED` or `INTERRUPTED`
   * @param {string} message
   * @param {{retryable?: boolean, retryAfterMs?: number, text?: string}} [details]
   */
  constructor(code, message, { retryable = false, retryAfterMs = 0, text = "" } = {}) {
    super(message);
    this.code = code;
    /** Whether the same question may succeed later. */
    this.retryable = retryable;
    /** The time until a retry can succeed; 0 if it is not known. */
    this.retryAfterMs = retryAfterMs;
    /** The part of the answer that arrived. */
    this.text = text;
  }
}
