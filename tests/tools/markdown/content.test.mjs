// What the chat shows beyond CommonMark, and what it refuses.
import assert from "node:assert/strict";
import test from "node:test";
import { render } from "./dom.mjs";

const HOSTS = new Set(["github.com", "mara.example"]);
const shown = (text, options = { linkHosts: HOSTS }) => render(text, options);
const links = (text) => [...shown(text).querySelectorAll("a")].map((link) => [link.textContent, link.getAttribute("href")]);

test("links open in a new tab without telling where they come from", () => {
  const [web, mail, phone] = shown("[a](https://github.com/x) [b](mailto:b@x.example) [c](tel:+49123)").querySelectorAll("a");
  assert.equal(web.getAttribute("target"), "_blank");
  for (const link of [web, mail, phone]) assert.equal(link.getAttribute("rel"), "noopener noreferrer nofollow");
  assert.equal(mail.getAttribute("target"), null);
});

test("links to hosts of the owner look as they are written, others show where they go", () => {
  const page = (host) => `https://${host}/page`;
  for (const [host, text] of [
    ["github.com", "here"],
    ["gist.github.com", "here"],
    ["www.mara.example", "here"],
    ["evil.example", "here (evil.example)"],
    ["notgithub.com", "here (notgithub.com)"],
    ["github.com.evil.example", "here (github.com.evil.example)"],
    ["evil.example:8443", "here (evil.example:8443)"],
  ]) {
    assert.deepEqual(links(`[here](${page(host)})`), [[text, page(host)]]);
  }
  const byFunction = render("[here](https://x.example)", { linkHosts: (host) => host === "x.example" });
  assert.equal(byFunction.textContent, "here");
  assert.equal(render("[here](https://x.example)").textContent, "here (x.example)");
});

test("a link whose text looks like another address shows where it goes", () => {
  for (const [text, address, host] of [
    ["https://github.com/mara", "https://evil.example/", "evil.example"],
    ["www.bank.example", "https://github.com/", "github.com"],
    ["bank.example", "https://github.com/", "github.com"],
    ["see https://bank.example now", "https://github.com/", "github.com"],
    ["https://github.com@evil.example", "https://github.com@evil.example/", "evil.example"],
    ["https://github.com@evil.example", "https://evil.example/", "evil.example"],
    ["https://gіthub.com", "https://gіthub.com/", "xn--gthub-n2e.com"],
    ["gіthub", "https://gіthub.com/", "xn--gthub-n2e.com"],
    ["a@b.example", "mailto:evil@x.example", "evil@x.example"],
    ["call us", "tel:+49900123", "+49900123"],
    ["github.com", "https:\\\\evil.example", "evil.example"],
  ]) {
    const [[label]] = links(`[${text}](${address})`);
    assert.equal(label, `${text} (${host})`);
  }
  assert.deepEqual(links("[evil.example](https://evil.example/x)"), [["evil.example", "https://evil.example/x"]]);
  assert.deepEqual(links("[+49 900 123](tel:+49900123)"), [["+49 900 123", "tel:+49900123"]]);
});

test("bare addresses become links to exactly what they say", () => {
  assert.deepEqual(links("See https://x.example/a_b?c=d, or (www.y.example/z)."), [
    ["https://x.example/a_b?c=d", "https://x.example/a_b?c=d"],
    ["www.y.example/z", "https://www.y.example/z"],
  ]);
  assert.deepEqual(links("Mail first_last+tag@mail.example."), [["first_last+tag@mail.example", "mailto:first_last+tag@mail.example"]]);
  assert.deepEqual(links("https://github.com@evil.example"), [["https://github.com@evil.example (evil.example)", "https://github.com@evil.example/"]]);
  assert.deepEqual(links("https://gіthub.com"), [["https://gіthub.com (xn--gthub-n2e.com)", "https://xn--gthub-n2e.com/"]]);
  assert.deepEqual(links("https://x.example/日本。次"), [["https://x.example/日本", "https://x.example/%E6%97%A5%E6%9C%AC"]]);
  assert.equal(shown("xhttps://x.example foo@bar @x.example").querySelector("a"), null);
});

test("other schemes and relative addresses are no links", () => {
  for (const address of [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "&#106;avascript:alert(1)", "java&Tab;script:alert(1)", "java\tscript:alert(1)",
    "\u0001javascript:alert(1)", "<java\\\nscript:alert(1)>", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://x.example/1",
    "/relative", "//evil.example/x", "#top", "x.html", "ftp://x.example", `https://x.example/${"a".repeat(3000)}`,
  ]) {
    for (const text of [`[x](${address})`, `<${address}>`, `![x](${address})`, `[![x](${address})](${address})`]) {
      const node = shown(text);
      assert.equal(node.querySelector("a, img, script, iframe"), null, text);
      assert.ok(node.textContent.length > 0, text);
    }
  }
});

test("images are links and nothing is loaded", () => {
  const node = shown("![a picture](https://evil.example/x.png) ![](https://evil.example/y.png) [![badge](https://evil.example/b.svg)](https://github.com)");
  assert.equal(node.querySelector("img, picture, source, video, object, link, style"), null);
  assert.deepEqual(
    [...node.querySelectorAll("a")].map((link) => link.textContent),
    ["a picture (evil.example)", "https://evil.example/y.png", "badge"],
  );
  assert.equal(node.querySelector("a a"), null);
});

test("raw HTML is text", () => {
  const text = '<script>alert(1)</script> <img src=x onerror="alert(1)"> <b>bold</b> <!-- comment --> &lt;i&gt;';
  const node = shown(text);
  assert.equal(node.textContent, text.replace("&lt;i&gt;", "<i>"));
  assert.equal(node.querySelectorAll("*").length, 1);
  assert.equal(shown("a<br>b<br/>c").querySelectorAll("br").length, 2);
});

test("characters that reorder text are removed", () => {
  const node = shown("[\u202emoc.live\u2066](https://evil.example) \u202dtext\u202c `\u202ecode` \0");
  assert.doesNotMatch(node.textContent, /[\u202a-\u202e\u2066-\u2069\0]/);
  assert.equal(node.querySelector("bdi").getAttribute("dir"), "ltr");
});

test("tables have a header, alignment and a box that scrolls", () => {
  const node = shown("Text\n| a | b | c |\n|:--|:-:|--:|\n| 1 | `x\\|y` | **3** | 4 |\n| only |\n\nafter");
  assert.deepEqual([...node.children].map((child) => child.localName), ["p", "div", "p"]);
  const box = node.querySelector(".table");
  assert.equal(box.getAttribute("tabindex"), "0");
  assert.deepEqual([...box.querySelectorAll("th")].map((cell) => [cell.textContent, cell.getAttribute("scope"), cell.style.textAlign]), [
    ["a", "col", "left"],
    ["b", "col", "center"],
    ["c", "col", "right"],
  ]);
  assert.deepEqual([...box.querySelectorAll("td")].map((cell) => cell.innerHTML), ["1", "<code>x|y</code>", "<strong>3</strong>", "only"]);
  for (const text of ["a | b\n--- | ---\n1 | 2", "> | a |\n> |---|\n> | 1 |", "- | a |\n  |---|\n  | 1 |"]) {
    assert.equal(shown(text).querySelectorAll("tbody tr").length, 1, text);
  }
  for (const text of ["a | b\n---", "| a | b |\n|---|", "a\n---"]) assert.equal(shown(text).querySelector("table"), null, text);
});

test("lists keep their numbers and their tasks", () => {
  const node = shown("3. three\n   - nested\n     1. deep\n4. four\n\ntext\n\n7) seven\n\n- [x] done\n- [ ] to do\n• bullet");
  assert.deepEqual([...node.querySelectorAll("ol")].map((list) => list.getAttribute("start")), ["3", null, "7"]);
  assert.deepEqual([...node.querySelectorAll(".task")].map((mark) => mark.parentElement.textContent), ["☑ done", "☐ to do"]);
  assert.equal(node.querySelectorAll("input").length, 0);
  assert.match(node.textContent, /bullet/);
});

test("headings stand below those of the page, from the first one on", () => {
  const tags = (text, options) => [...render(text, options).children].map((child) => child.localName).join(" ");
  assert.equal(tags("# a\n## b\n###### c"), "h3 h4 h6");
  assert.equal(tags("### a\n#### b\n# c"), "h3 h4 h3");
  assert.equal(tags("## a\n### b", { headingLevel: 5 }), "h5 h6");
});

test("code has its language and a button that copies it", async () => {
  let copied;
  Object.defineProperty(globalThis, "navigator", { value: { clipboard: { writeText: async (text) => (copied = text) } }, configurable: true });
  const texts = { "code.copy": "Copy code", "code.copied": "Copied" };
  const node = render("```js\nlet a = **1**;\n\nb\n```", { t: (key) => texts[key] });
  const fenced = node.querySelector(".code");
  assert.equal(fenced.querySelector(".code-language").textContent, "js");
  assert.equal(fenced.querySelector("code").textContent, "let a = **1**;\n\nb");
  const button = fenced.querySelector("button");
  assert.equal(button.textContent, "Copy code");
  button.dispatchEvent(new (document.defaultView.Event)("click"));
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(copied, "let a = **1**;\n\nb\n");
  assert.equal(button.textContent, "Copied");
});

test("emphasis works within words of languages without spaces", () => {
  assert.equal(shown("これは**「重要」**です。").querySelector("strong")?.textContent, "「重要」");
  assert.equal(shown("这是**“重点”**吗").querySelector("strong")?.textContent, "“重点”");
  assert.equal(shown("snake_case_name and __init__").querySelector("em"), null);
  assert.equal(shown("~~gone~~ ~one~").querySelectorAll("del").length, 2);
});
