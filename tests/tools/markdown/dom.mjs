// Renders Markdown with the module of the chat, in a DOM without a browser.
import { parseHTML } from "linkedom";

globalThis.document = parseHTML("<html><body></body></html>").document;
const { StreamingMarkdown } = await import(`file://${process.env.ASSETS}/ui/streaming-markdown.js`);

/** Creates a view. */
export function createView(options = {}) {
  return new StreamingMarkdown(options);
}

/** Renders a text that arrives in parts of these lengths, which are repeated. */
export function render(text, { lengths = [text.length || 1], ...options } = {}) {
  const view = createView(options);
  for (let at = 0, part = 0; at < text.length; part += 1) {
    at += lengths[part % lengths.length];
    if (at < text.length) view.update(text.slice(0, at), true);
  }
  view.update(text, false);
  view.node.normalize();
  return view.node;
}

/**
 * Returns the structure of HTML that another program has rendered, in the notation of
 * `structureOf`.
 */
export function structureOfHtml(html) {
  const { document } = parseHTML(`<html><body><main>${html}</main></body></html>`);
  return structureOf(document.querySelector("main"));
}

/**
 * Describes what a reader gets: blocks, texts and links. Leaves out what is a decision of the
 * page: the levels of headings, whether items contain paragraphs, the bar of code, and where the
 * link goes in words. Links that are not allowed count as their text, images as links.
 */
export function structureOf(node) {
  let blocks = "";
  let inline = "";
  const flush = () => {
    const text = inline.replace(/^\n+|\s+$/g, "").replaceAll("<br>\n", "<br>");
    if (text) blocks += node.localName === "li" ? `<p>${text}</p>` : text;
    inline = "";
  };
  for (const child of node.childNodes) {
    const block = child.nodeType === 1 ? describeBlock(child) : undefined;
    if (block === undefined) {
      inline += describeInline(child);
    } else {
      flush();
      blocks += block;
    }
  }
  flush();
  return blocks;
}

function describeBlock(element) {
  const tag = element.localName.replace(/^h[1-6]$/, "h");
  if (tag === "hr") return "<hr>";
  if (element.className === "code") return `<pre>${escape(element.querySelector("code").textContent)}</pre>`;
  if (tag === "pre") return `<pre>${escape(element.textContent.replace(/\n$/, ""))}</pre>`;
  if (tag === "div") return structureOf(element);
  const start = Number(element.getAttribute("start") ?? 1) === 1 ? "" : ` ${element.getAttribute("start")}`;
  const blocks = ["p", "ul", "ol", "li", "blockquote", "h", "table", "thead", "tbody", "tr", "th", "td"];
  return blocks.includes(tag) ? `<${tag}${start}>${structureOf(element)}</${tag}>` : undefined;
}

function describeInline(node) {
  if (node.nodeType === 3) return escape(node.data);
  const tag = node.localName;
  const inner = [...node.childNodes].map(describeInline).join("");
  if (tag === "br") return "<br>";
  if (tag === "bdi") return "";
  if (tag === "span") return inner;
  if (tag !== "a" && tag !== "img") return `<${tag}>${inner}</${tag}>`;
  const address = node.getAttribute(tag === "a" ? "href" : "src");
  const text = tag === "a" ? inner.replace(/<\/?a[^>]*>/g, "") : escape(node.getAttribute("alt") || address);
  return /^(?:https?|mailto|tel):./i.test(address) ? `<a ${new URL(address).href}>${text}</a>` : text;
}

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
