// Ink follows the page; words beside points give way to hovering where there is no room.
function tint() {
  const ink = getComputedStyle(document.body).color;
  for (const drawing of document.querySelectorAll(".plotly-graph-div")) {
    const change = {"font.color": ink};
    if (innerWidth < 600) {
      Object.assign(change, {"font.size": 12, "margin.l": 55, "margin.r": 5});
      // A legend of many lines would leave them no room; pointing at a line names it.
      if (drawing.data.length > 8) change.showlegend = false;
      (drawing.layout.annotations || []).forEach((note, i) => {
        if (note.name === "word") change[`annotations[${i}].visible`] = false;
      });
    }
    Plotly.relayout(drawing, change);
  }
}
document.addEventListener("drawn", () => {
  tint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tint);
});
