/** Chooses the colour of text that can be read on any background. */

/** @typedef {readonly number[]} Rgb  red, green and blue from 0 to 255 */

/** @type {Rgb} */ const WHITE = [255, 255, 255];
/** @type {Rgb} */ const BLACK = [0, 0, 0];

/**
 * Returns black or white, whichever has the higher contrast with a colour. That is at least 4.5,
 * which WCAG demands for text.
 * @param {Rgb} background
 */
export function textColorOn(background) {
  return contrast(background, WHITE) >= contrast(background, BLACK) ? "#fff" : "#000";
}

/** Returns the parts of any CSS colour; `null` if it is not one. @param {string} color @returns {Rgb | null} */
export function parseColor(color) {
  const context = CSS.supports("color", color) ? document.createElement("canvas").getContext("2d") : null;
  if (!context) return null;
  context.fillStyle = color;
  const hex = /^#(..)(..)(..)$/.exec(context.fillStyle);
  if (hex) return hex.slice(1).map((part) => parseInt(part, 16));
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

/** The contrast ratio of WCAG. @param {Rgb} first @param {Rgb} second */
function contrast(first, second) {
  const [darker, lighter] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

/** @param {Rgb} color */
function luminance(color) {
  const [red, green, blue] = color.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
