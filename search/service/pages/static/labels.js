// Places of words in a picture: inside it, and where they can, off its marks and off each other.

// Of 12 px letters, above and below their line.
const ABOVE = 10, BELOW = 3;
const pens = new Map();

// Returns the width of a text in pixels.
export function textWidth(text, font = "12px system-ui, sans-serif") {
  if (!pens.has(font)) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = font;
    pens.set(font, pen);
  }
  return pens.get(font).measureText(text).width;
}

// The places beside a mark, by preference: to both sides above it, to both sides below it, over it.
export function beside(x, y, width, off = 9) {
  return [
    { x: x - off - width, y: y - off }, { x: x + off, y: y - off },
    { x: x + off, y: y + off + ABOVE }, { x: x - off - width, y: y + off + ABOVE },
    { x: x - width / 2, y: y - off - BELOW }, { x: x - width / 2, y: y + off + ABOVE + BELOW },
  ];
}

export class Labels {
  // ``box`` has the sides of the picture, inside which words have to stay.
  constructor(box) {
    Object.assign(this, { box, taken: [] });
  }

  // Keeps words off what lies between four sides.
  take(left, top, right, bottom) {
    this.taken.push({ left, top, right, bottom });
  }

  // Returns the place of a text by its left end: the first that is free, else the first inside.
  place(width, places) {
    const { box } = this;
    const inside = places.map(({ x, y }) => ({
      x: Math.max(box.left + 3, Math.min(x, box.right - 3 - width)),
      y: Math.max(box.top + ABOVE, Math.min(y, box.bottom - BELOW)),
    }));
    const fits = inside.filter((at, i) => at.x === places[i].x && at.y === places[i].y);
    const found = fits.find((at) => this.isFree(at, width)) ?? inside.find((at) => this.isFree(at, width))
      ?? fits[0] ?? inside[0];
    this.take(found.x, found.y - ABOVE, found.x + width, found.y + BELOW);
    return found;
  }

  isFree({ x, y }, width) {
    return this.taken.every((one) => x + width <= one.left || one.right <= x
      || y + BELOW <= one.top || one.bottom <= y - ABOVE);
  }
}
