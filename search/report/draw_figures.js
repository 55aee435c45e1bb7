// Unpacks plotly's code and draws every figure of the page.
async function unpacked(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
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
    await Plotly.newPlot(figure.dataset.figure, data, layout, settings);
  }
  document.dispatchEvent(new Event("drawn"));
}
document.addEventListener("DOMContentLoaded", drawFigures);
