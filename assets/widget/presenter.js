/**
 * Shows the panel beside the page, or over the whole screen of a phone. There it is modal: the
 * focus stays in it, and the page behind does not scroll.
 */

const smallScreen = matchMedia("(max-width: 30rem), (max-height: 28rem)");

export const isSmallScreen = () => smallScreen.matches;

export class Presenter {
  #panel;
  #shown = false;
  /** @type {string | null} The page's own style, while the panel is modal. */ #overflow = null;

  /** @param {HTMLElement} panel @param {() => void} onDismiss */
  constructor(panel, onDismiss) {
    this.#panel = panel;
    // Raised by Escape, and by the back gesture of some phones.
    panel.addEventListener("cancel", (event) => {
      if (event.target !== panel) return;
      event.preventDefault();
      onDismiss();
    });
  }

  show() {
    if (this.#shown || !(this.#panel instanceof HTMLDialogElement)) return;
    this.#shown = true;
    smallScreen.addEventListener("change", this.#present);
    this.#present();
  }

  hide() {
    if (!this.#shown) return;
    this.#shown = false;
    smallScreen.removeEventListener("change", this.#present);
    this.#withdraw();
  }

  #present = () => {
    const panel = /** @type {HTMLDialogElement} */ (this.#panel);
    const focused = focusedElement();
    this.#withdraw();
    panel.dataset.screen = smallScreen.matches ? "full" : "beside";
    if (smallScreen.matches) {
      panel.showModal();
      this.#lockPage();
    } else {
      raise(panel);
    }
    // Showing a dialog moves the focus into it, and hiding it moves the focus out of it.
    if (!smallScreen.matches || panel.contains(focused)) restoreFocus(focused);
  };

  #withdraw() {
    const panel = /** @type {HTMLDialogElement} */ (this.#panel);
    this.#unlockPage();
    if (panel.open) panel.close();
    lower(panel);
  }

  #lockPage() {
    const { style } = document.documentElement;
    this.#overflow = style.overflow;
    style.overflow = "hidden";
    visualViewport?.addEventListener("resize", this.#fitKeyboard);
    visualViewport?.addEventListener("scroll", this.#fitKeyboard);
    this.#fitKeyboard();
  }

  #unlockPage() {
    if (this.#overflow === null) return;
    document.documentElement.style.overflow = this.#overflow;
    this.#overflow = null;
    visualViewport?.removeEventListener("resize", this.#fitKeyboard);
    visualViewport?.removeEventListener("scroll", this.#fitKeyboard);
  }

  /** Keeps the panel above the on-screen keyboard, which covers a part of the page on iOS. */
  #fitKeyboard = () => {
    if (!visualViewport || visualViewport.scale !== 1) return;
    this.#panel.style.setProperty("--visible-height", `${visualViewport.height}px`);
    this.#panel.style.setProperty("--visible-top", `${visualViewport.offsetTop}px`);
  };
}

/** The element that has the focus, also inside of shadow roots. */
function focusedElement() {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  return focused;
}

/** @param {Element | null} before the element that had the focus */
function restoreFocus(before) {
  const focused = focusedElement();
  if (focused === before) return;
  if (focused instanceof HTMLElement) focused.blur();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
}

/**
 * Shows an element above everything on the page, whatever the styles of the elements around it.
 * @param {HTMLElement} element
 */
export function raise(element) {
  if ("showPopover" in element) {
    element.popover = "manual";
    if (element.isConnected && !element.matches(":popover-open")) element.showPopover();
  } else if (element instanceof HTMLDialogElement) {
    /** @type {HTMLDialogElement} */ (element).show();
  }
}

/** @param {HTMLElement} element */
function lower(element) {
  if (element.popover && element.matches(":popover-open")) element.hidePopover();
  element.removeAttribute("popover");
}
