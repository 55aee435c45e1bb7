// Masks from COCO's compressed run lengths: columns from the top, runs of 0 and 1 in turn.
// Source: rleFrString of pycocotools, 5 bits a character with the sign in the last one.

function runs(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const code = text.charCodeAt(at++) - 48;
      value |= (code & 0x1f) << shift;
      more = (code & 0x20) !== 0;
      shift += 5;
      if (!more && (code & 0x10) !== 0) value |= -1 << shift;
    }
    if (found.length > 2) value += found[found.length - 2];
    found.push(value);
  }
  return found;
}

// Returns the pixels of a mask in a color, clear elsewhere; its size is height and width.
export function maskPixels({ size: [height, width], counts }, color) {
  const pixels = new ImageData(width, height);
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  let place = 0, is_inside = false;
  for (const run of runs(counts)) {
    if (is_inside) {
      for (let i = place; i < place + run; i++) {
        const at = 4 * ((i % height) * width + Math.floor(i / height));
        pixels.data.set([red, green, blue, 255], at);
      }
    }
    place += run;
    is_inside = !is_inside;
  }
  return pixels;
}
