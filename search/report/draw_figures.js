// Unpacks plotly's code, draws every figure of the page and fits the names beside their axes.
async function unpacked(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
// Size in px of names beside an axis, in a narrow figure too, and the room that each has of its own.
const SMALLEST = 9, LARGEST = 14, LARGEST_NARROW = 11, NARROW = 600, SPACING = 1.3;
// Gives names that are set beside an axis the size and the number that its length has room for.
async function fitNames(drawing) {
  const axes = ["xaxis", "yaxis"].filter((axis) => drawing.layout[axis]?.type === "category");
  if (axes.length === 0) return;
  drawing.names ??= Object.fromEntries(
    axes.map((axis) => [axis, [drawing.layout[axis].tickvals, drawing.layout[axis].ticktext]]));
  const isNarrow = drawing.clientWidth < NARROW;
  for (let round = 0; round < 2; round++) { // smaller names leave the axis more room
    const change = { "coloraxis.showscale": !isNarrow };
    for (const axis of axes) {
      const [values, texts] = drawing.names[axis];
      const { w, h } = drawing._fullLayout._size;
      const room = axis === "xaxis" ? w : h;
      const most = isNarrow ? LARGEST_NARROW : LARGEST;
      const size = Math.min(most, Math.max(SMALLEST, room / values.length / SPACING));
      const step = Math.max(1, Math.ceil((values.length * size * SPACING) / room - 0.01));
      change[`${axis}.tickfont.size`] = size;
      change[`${axis}.tickvals`] = values.filter((_, i) => i % step === 0);
      change[`${axis}.ticktext`] = texts.filter((_, i) => i % step === 0);
    }
    await Plotly.relayout(drawing, change);
  }
}
let resized;
function fitAllNames() {
  clearTimeout(resized); // plotly itself waits a moment, too, before it draws anew
  resized = setTimeout(() => document.querySelectorAll(".plotly-graph-div").forEach(fitNames), 300);
}
async function drawFigures() {
  const figures = document.querySelectorAll("script[data-figure]");
  if (!window.DecompressionStream) {
    for (const figure of figures) {
      document.getElementById(figure.dataset.figure).textContent =
        "This figure needs a browser of 2023 or later.";
    }
    return;
  }
  const code = document.createElement("script");
  code.textContent = await unpacked("plotly-code");
  document.head.append(code);
  for (const figure of figures) {
    const { data, layout } = JSON.parse(figure.textContent);
    const settings = { displaylogo: false, responsive: true };
    await fitNames(await Plotly.newPlot(figure.dataset.figure, data, layout, settings));
  }
  document.dispatchEvent(new Event("drawn"));
  addEventListener("resize", fitAllNames);
}
document.addEventListener("DOMContentLoaded", drawFigures);
