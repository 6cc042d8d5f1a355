/** Answers as nodes: a small subset of Markdown, built by hand so that no text can ever become markup, and growing word by word. */

/** @typedef {{kind: string, start: number, lines: string[]}} Block */

/** Quotes inside quotes beyond this depth are shown as they were written. */
const MAX_QUOTE_DEPTH = 3;

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

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
export class GrowingText {
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
