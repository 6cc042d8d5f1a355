// Long and hostile answers: linear time, a bounded cost for each part, a bounded depth.
import assert from "node:assert/strict";
import test from "node:test";
import { createView, render } from "./dom.mjs";

/**
 * Returns the least processor time of some runs in milliseconds. Waiting for a processor does not
 * count.
 */
function measure(run, runs) {
  const times = Array.from({ length: runs }, () => {
    const before = process.cpuUsage();
    run();
    return process.cpuUsage(before).user / 1000;
  });
  return Math.min(...times);
}

const HOSTILE = [
  "[", "![", "*", "*a", "*a ", "**a ", "_a ", "a* ", "_a*", "> ", ">", "`", "`a``b```c ", "<", "&", "\\", "- ", "1. ", "# ", "|", "a|b\n",
  "[a](", "[a](b '", "[a](((", "[[a](https://b.example) ", "](", "a@b.", "https://", "a://", "www.", " ", "\n", "\t", "~~~ ", "*_~`",
];

test("thousands of repetitions take linear time", () => {
  const show = (text) => createView().update(text, false);
  for (const unit of HOSTILE) {
    const small = measure(() => show(unit.repeat(500)), 3);
    const large = measure(() => show(unit.repeat(5_000)), 1);
    // Quadratic time would be 100 times as long.
    assert.ok(large < 50 * Math.max(small, 4), `${JSON.stringify(unit)}: ${small} ms, then ${large} ms`);
  }
});

test("a long answer costs the same for each part", (context) => {
  const createElement = context.mock.method(document, "createElement");
  const answer = (size) => "Some **words** with a [link](https://x.example) and `code`. ".repeat(size / 60);
  const elementsPerPart = (size) => {
    createElement.mock.resetCalls();
    render(answer(size), { lengths: [200] });
    return createElement.mock.callCount() / (size / 200);
  };
  const [short, long] = [elementsPerPart(6_000), elementsPerPart(30_000)];
  assert.ok(long < 1.5 * short && long < 200, `6 KB: ${short} elements per part, 30 KB: ${long}`);
});

test("hostile answers cost a bounded amount for each part", (context) => {
  const createText = context.mock.method(document, "createTextNode");
  for (const unit of ["[", "*a", "**a ", "[a](", "![", "_a*", "<", "a@b."]) {
    createText.mock.resetCalls();
    render(unit.repeat(10_000 / unit.length), { lengths: [1000] });
    const perPart = createText.mock.callCount() / 10;
    assert.ok(perPart < 6000, `${unit}: ${perPart} text nodes per part`);
  }
});

test("nesting is bounded", () => {
  const depth = (node) => 1 + Math.max(0, ...[...node.children].map(depth));
  const nested = Array.from({ length: 300 }, (_, level) => `${" ".repeat(2 * level)}- x`).join("\n");
  for (const text of [">".repeat(10_000), nested, "*".repeat(5000) + "a" + "*".repeat(5000), "*a **b ".repeat(500) + "c** d* ".repeat(500), "![".repeat(500) + "](tel:1)".repeat(500)]) {
    const levels = depth(render(text));
    assert.ok(levels < 40, `${text.slice(0, 20)}: ${levels}`);
  }
});
