// Shows texts as they arrive: in any parts and without flicker.
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { createView, render } from "./dom.mjs";

// prettier-ignore
const PIECES = [
  "*", "**", "_", "__", "~~", "`", "``", "```", "[", "]", "(", ")", "](https://x.example)", "![", "<", ">", "> ", "- ",
  "1. ", "2) ", "# ", "## ", "\n", "\n\n", "  \n", "\\", "\t", "    ", "  ", " ", "a", "b c", "Wort", "|", "| a | b |\n",
  "|---|:-:|\n", "---", "===", "***", "https://e.example/x_y", "www.a.example", "me@x.example", "&amp;", "&", "<br>",
  "<b>", "「", "。", "日本", "+ ", "- [ ] ", "```js\n", "~~~", "!", "'", '"', "\u202e", "12345", "😀",
];
const LONG_PIECES = ["x".repeat(700), "日本語の文章が続きます".repeat(60), "many words here ".repeat(50), "lorem ipsum *dolor* sit "];
const lengths = (max) => fc.array(fc.integer({ min: 1, max }), { minLength: 1, maxLength: 8 });
const textOf = (pieces, maxLength) =>
  fc.array(fc.constantFrom(...pieces), { maxLength, size: "max" }).map((parts) => parts.join(""));

test("the parts in which a text arrives do not matter", () => {
  const same = (text, parts) => assert.equal(render(text, { lengths: parts }).innerHTML, render(text).innerHTML);
  fc.assert(fc.property(textOf(PIECES, 60), lengths(12), same), { numRuns: 200 });
  const inline = PIECES.filter((piece) => !piece.includes("\n\n"));
  fc.assert(fc.property(textOf([...inline, ...LONG_PIECES, ...LONG_PIECES], 120), lengths(400), same), { numRuns: 10 });
});

test("blocks that have ended are not touched again", () => {
  const text = "# One\n\nTwo *three*\n\n- four\n- five\n\n```js\nsix\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nseven\n\neight";
  const view = createView();
  const seen = [];
  for (let end = 1; end <= text.length; end += 1) {
    view.update(text.slice(0, end), true);
    const blocks = [...view.node.children];
    // The last block may still become another one.
    for (const [index, { node, html }] of seen.entries()) {
      assert.equal(blocks[index], node);
      assert.equal(blocks[index].outerHTML, html);
    }
    while (seen.length < blocks.length - 1) {
      const node = blocks[seen.length];
      seen.push({ node, html: node.outerHTML });
    }
  }
  assert.equal(seen.length, 6);
});

test("the settled part of a long paragraph is not touched again", () => {
  const view = createView();
  let text = "";
  let first = null;
  for (let word = 0; word < 2000; word += 1) {
    text += word % 7 === 0 ? "**bold words** " : "some words ";
    view.update(text, true);
    if (word === 800) first = view.node.querySelector("strong");
  }
  assert.equal(view.node.querySelector("strong"), first);
  assert.equal(view.node.querySelectorAll("p").length, 1);
});

test("unfinished marks are not shown", () => {
  const shown = (text) => {
    const view = createView();
    view.update(text, true);
    return view.node.textContent;
  };
  for (const [text, expected] of [
    ["a **bo", "a bo"],
    ["a **bold*", "a bold"],
    ["a *", "a "],
    ["a `co", "a co"],
    ["a ~~b", "a b"],
    ["see [the pa", "see the pa"],
    ["see [the page]", "see the page"],
    ["see [the page](https://x.exam", "see the page"],
    ["![a pic", "a pic"],
    ["text\n-", "text\n"],
    ["text\n\n1.", "text"],
    ["text\n\n##", "text"],
    ["text\n\n``", "text"],
    ["text\n\n| a | b |", "text"],
    ["text\n\n| a | b |\n|--", "text"],
  ]) {
    assert.equal(shown(text).trimEnd(), expected.trimEnd(), text);
  }
});

test("what turns out not to be a mark is shown in the end", () => {
  for (const text of ["a **bo", "2 * 3 * 4", "a [b", "a ` b", "-", "1.", "| a | b |", "snake_case_name", "a <b c", "R&D"]) {
    assert.equal(render(text, { lengths: [1] }).textContent.trim(), text === "-" || text === "1." ? "" : text);
  }
});

test("screen readers get each text once", () => {
  const text = "# One\n\nTwo *three*\n\n- four\n- five\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nlast";
  const view = createView();
  let heard = "";
  for (let end = 3; end < text.length; end += 3) heard += view.update(text.slice(0, end), true);
  heard += view.update(text, false);
  heard += view.tail;
  assert.deepEqual(heard.trim().split("\n"), ["One", "Two three", "four", "five", "a, b", "1, 2", "last"]);
});

test("a text that does not continue the one before replaces it", () => {
  const view = createView();
  view.update("first *text*\n\nmore", true);
  view.update("other", true);
  assert.equal(view.node.textContent, "other");
  view.update("other", false);
  view.update("other and more", true);
  assert.equal(view.node.textContent, "other and more");
});
