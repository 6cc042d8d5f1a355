/** Chooses the colour of text that can be read on any background. */

/** @typedef {readonly number[]} Rgb  red, green and blue from 0 to 255 */

/**
 * White and black have the same contrast with a colour of this luminance: by the formula of WCAG,
 * `1.05 / (luminance + 0.05)` equals `(luminance + 0.05) / 0.05`.
 */
const MIDDLE_LUMINANCE = 0.179;

/**
 * Returns black or white, whichever has the higher contrast with a colour. That is at least 4.5,
 * which WCAG demands for text.
 * @param {Rgb} background
 */
export function textColorOn(background) {
  return luminance(background) < MIDDLE_LUMINANCE ? "#fff" : "#000";
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

/** The relative luminance of WCAG. @param {Rgb} color */
function luminance(color) {
  const [red, green, blue] = color.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
