/**
 * Renders a streamed answer: a small subset of Markdown, built node by node, so that no text can
 * become markup.
 */

/** @typedef {{kind: string, start: number, lines: string[]}} Block */

/** Quotes nested deeper than this are shown as plain text. */
const MAX_QUOTE_DEPTH = 3;

/**
 * Creates an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function createElement(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * Splits a text into blocks with their offsets.
 * @param {string} text
 */
function parseBlocks(text) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {Block | null} */
  let open = null;
  let start = 0;
  for (const line of text.split("\n")) {
    const kind = lineKind(line, open);
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
function lineKind(line, open) {
  const fence = /^\s*```/.test(line);
  if (open?.kind === "code") return fence ? "fence-end" : "code";
  if (fence) return "code";
  if (!line.trim()) return "blank";
  if (/^>/.test(line)) return "quote";
  if (/^\s*[-*•]\s/.test(line)) return "bullets";
  if (/^\s*\d{1,3}[.)]\s/.test(line)) return "numbers";
  // An indented line continues the item above it.
  if (/^\s+\S/.test(line) && (open?.kind === "bullets" || open?.kind === "numbers")) return open.kind;
  if (/^#{1,6}\s/.test(line)) return "heading";
  return "paragraph";
}

/**
 * Renders a block in the direction of its text. Only the outermost node has a `dir`, because the
 * direction of a node does not depend on descendants that have a `dir` themselves.
 * @param {Block} block
 */
function renderBlock(block) {
  const node = renderNode(block);
  node.dir = "auto";
  return node;
}

/** @param {Block} block @param {number} depth @returns {HTMLElement} */
function renderNode({ kind, lines }, depth = 0) {
  switch (kind) {
    case "code": {
      const node = createElement("pre");
      node.append(createElement("code", "", lines.slice(1).join("\n")));
      return node;
    }
    case "quote": {
      const node = createElement("blockquote");
      const inner = lines.map((line) => line.replace(/^> ?/, "")).join("\n");
      if (depth < MAX_QUOTE_DEPTH) for (const block of parseBlocks(inner)) node.append(renderNode(block, depth + 1));
      else node.textContent = inner;
      return node;
    }
    case "bullets":
    case "numbers": {
      const node = createElement(kind === "bullets" ? "ul" : "ol");
      const mark = kind === "bullets" ? /^\s*[-*•]\s+/ : /^\s*(\d{1,3})[.)]\s+/;
      if (node instanceof HTMLOListElement) node.start = Number(lines[0]?.match(mark)?.[1] ?? 1);
      /** @type {string[]} */
      const items = [];
      for (const line of lines) {
        if (mark.test(line) || items.length === 0) items.push(line.replace(mark, ""));
        else items.push(`${items.pop()}\n${line.trim()}`);
      }
      for (const item of items) node.append(appendInline(createElement("li"), item));
      return node;
    }
    case "heading": {
      const node = createElement("p");
      node.append(appendInline(createElement("strong"), (lines[0] ?? "").replace(/^#+\s+/, "")));
      return node;
    }
    default:
      return appendInline(createElement("p"), lines.join("\n"));
  }
}

/**
 * Appends a text with its bold, emphasized and code parts to a node. Unclosed parts stay plain
 * text.
 * @template {HTMLElement} N
 * @param {N} node @param {string} text
 */
function appendInline(node, text) {
  let from = 0;
  for (const match of text.matchAll(/\*\*(?=\S)([^*\n]+)\*\*|`([^`\n]+)`|\*(?=\S)([^*\n]*[^*\s])\*/g)) {
    const [whole, bold, code, emphasis] = match;
    node.append(text.slice(from, match.index));
    node.append(bold ? createElement("strong", "", bold) : code ? createElement("code", "", code) : createElement("em", "", emphasis));
    from = match.index + whole.length;
  }
  node.append(text.slice(from));
  return node;
}

/**
 * Closes bold text at the end of an unfinished answer, so that its asterisks are not shown until
 * the end arrives.
 * @param {string} text
 */
function closeBold(text) {
  const lineStart = text.lastIndexOf("\n") + 1;
  const line = text.slice(lineStart).replace(/\*+$/, "");
  const unclosed = line.split("**").length % 2 === 0;
  return text.slice(0, lineStart) + line.trimEnd() + (unclosed ? "**" : "");
}

/** Renders a text that grows. Keeps finished blocks and renders only the end again. */
export class StreamingMarkdown {
  node = createElement("div", "text");
  #text = "";
  #growing = true;
  /** The offset of the part that may still change. */
  #tailStart = 0;
  /** The number of blocks before the tail. */
  #finishedBlocks = 0;

  /**
   * @param {string} text @param {boolean} growing whether more text follows
   * @returns {string} the text that became final since the last call, for screen readers
   */
  update(text, growing) {
    if (text === this.#text && growing === this.#growing) return "";
    this.#growing = growing;
    if (!text.startsWith(this.#text)) {
      this.#tailStart = 0;
      this.#finishedBlocks = 0;
    }
    this.#text = text;
    const previousTailStart = this.#tailStart;
    const tail = text.slice(previousTailStart);
    const blocks = parseBlocks(growing ? closeBold(tail) : tail);
    while (this.node.childNodes.length > this.#finishedBlocks) this.node.lastChild?.remove();
    this.node.append(...blocks.map(renderBlock));
    // A last block of one line may still become part of the block before it.
    const firstOpen = Math.max(0, blocks.length - (blocks.at(-1)?.lines.length === 1 ? 2 : 1));
    this.#tailStart = previousTailStart + (blocks[firstOpen]?.start ?? 0);
    this.#finishedBlocks += firstOpen;
    return text.slice(previousTailStart, this.#tailStart);
  }

  /** The text that no call has returned as final. */
  get tail() {
    return this.#text.slice(this.#tailStart);
  }

  get tailLength() {
    return this.#text.length - this.#tailStart;
  }
}
