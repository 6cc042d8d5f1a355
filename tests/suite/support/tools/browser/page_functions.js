// What the tests need inside of a page. Selectors cross shadow roots with ` >>> `.
(() => {
  /** @param {string} path */
  const find = (path) =>
    path
      .split(" >>> ")
      .reduce((/** @type {any} */ root, selector) => (root?.shadowRoot ?? root)?.querySelector(selector) ?? null, document);

  /** Lists the elements of a tree and of all open shadow roots inside of it. */
  const all = (/** @type {ParentNode} */ root) =>
    [...root.querySelectorAll("*")].flatMap((element) => [
      element,
      ...(element.shadowRoot ? all(element.shadowRoot) : []),
    ]);

  const findButton = (/** @type {string} */ label) =>
    all(document).find(
      (element) =>
        element.matches("button, a, [role=button], summary") &&
        (element.textContent?.trim() === label || element.getAttribute("aria-label") === label) &&
        element.getClientRects().length > 0,
    ) ?? null;

  /** Returns the innermost element at a point, across shadow roots. */
  const elementAt = (/** @type {number} */ x, /** @type {number} */ y) => {
    let element = document.elementFromPoint(x, y);
    while (element?.shadowRoot) {
      const inner = element.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === element) break;
      element = inner;
    }
    return element;
  };

  const contains = (/** @type {Element} */ outer, /** @type {Node | null} */ inner) => {
    for (let node = inner; node; node = node.parentNode ?? /** @type {ShadowRoot} */ (node).host ?? null) {
      if (node === outer) return true;
    }
    return false;
  };

  const nextFrame = () => new Promise((done) => setTimeout(done, 30));

  /**
   * Scrolls an element into view and waits until it rests and nothing covers it. Returns its centre.
   * @param {() => Element | null} locate
   */
  const pointOf = async (locate) => {
    let reason = "it does not exist";
    let last = "";
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await nextFrame()) {
      const element = locate();
      if (!element) continue;
      element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
      const box = element.getBoundingClientRect();
      const x = Math.floor(box.left + box.width / 2);
      const y = Math.floor(box.top + box.height / 2);
      const place = [box.left, box.top, box.width, box.height].join();
      const found = elementAt(x, y);
      if (box.width === 0 || box.height === 0) reason = "it has no size";
      else if (!contains(element, found)) reason = `it is covered or outside of the view: ${found?.outerHTML.slice(0, 200)}`;
      else if (place !== last) reason = "it moves";
      else return { x, y };
      last = place;
    }
    throw new Error(`cannot click: ${reason}`);
  };

  return { find, findButton, pointOf };
})()
