// The colors of the page before anything is drawn: as the system has them, or as was chosen.
"use strict";
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("archfront-theme"); } catch (error) { /* private window */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
