"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const darkFor = JSON.parse(document.getElementById("palette").textContent);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  function draw(dark, paper = false) {
    for (const [name, figure] of Object.entries(figures)) {
      const place = document.getElementById(`figure-${name}`);
      if (!place) continue;
      // The front is as tall as its place: beside the best design, as tall as that card.
      srsearchFigures.draw(place, figure, { dark, darkFor, paper, tall: name !== "front", buttons: ["select2d"] });
    }
  }
  draw(darkness.matches);
  darkness.addEventListener("change", (event) => draw(event.matches));
  addEventListener("beforeprint", () => draw(false, true));
  addEventListener("afterprint", () => draw(darkness.matches));

  // A click on a design of the front finds its row.
  document.getElementById("figure-front")?.on?.("plotly_click", ({ points }) => {
    const row = document.getElementById(`trial-${points[0]?.customdata}`);
    if (!row) return;
    row.scrollIntoView({ block: "center", behavior: "smooth" });
    row.classList.add("found");
    setTimeout(() => row.classList.remove("found"), 2500);
  });

  // Sorting: numbers as numbers, words as words, what is missing always last.
  const words = new Intl.Collator("en", { numeric: true });
  function compare(a, b) {
    return a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : words.compare(a, b);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.sort, row]);
        rows.sort(([a], [b]) => (a === "") - (b === "") || direction * compare(a, b));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  const filters = [...document.querySelectorAll(".filter button")];
  for (const button of filters) {
    button.addEventListener("click", () => {
      for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
      for (const row of document.querySelectorAll("#trials-table tbody tr")) {
        row.hidden = button.dataset.show !== "" && row.dataset.state !== button.dataset.show;
      }
    });
  }
})();
