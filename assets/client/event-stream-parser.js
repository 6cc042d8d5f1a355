/** Parses a stream of server-sent events, as the HTML standard defines it. */

/** The longest event in UTF-16 code units. The longest history has 512 KiB of text. */
const MAX_EVENT_LENGTH = 4 * 1024 * 1024;

export class EventStreamParser {
  /** The start of a line that is not complete. */
  #line = "";
  #event = "";
  #data = "";
  #id = "";
  /** Whether a line feed at the start of the next text belongs to the line end before it. */
  #endsWithReturn = false;
  #onEvent;

  /** @param {(event: {event: string, data: string, id: string}) => void} onEvent */
  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  /** Adds decoded text. Throws a `RangeError` if an event is too long. @param {string} text */
  push(text) {
    if (!text) return;
    if (this.#endsWithReturn && text.startsWith("\n")) text = text.slice(1);
    this.#endsWithReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#line + lines[0];
    this.#line = /** @type {string} */ (lines.pop());
    for (const line of lines) this.#addLine(line);
    if (this.#line.length + this.#data.length > MAX_EVENT_LENGTH) throw new RangeError("The event is too long.");
  }

  /** @param {string} line */
  #addLine(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.#data += `${value}\n`;
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const [event, data] = [this.#event || "message", this.#data];
    this.#event = this.#data = "";
    if (data) this.#onEvent({ event, data: data.slice(0, -1), id: this.#id });
  }
}
