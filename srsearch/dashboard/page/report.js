"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const darkFor = JSON.parse(document.getElementById("palette").textContent);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };

  // Figures come in the light palette, every colour whole, so that turning one dark is an exchange of colours.
  // Data are left alone: a text that happens to be a colour stays what it is.
  const DATA = new Set(["x", "y", "text", "hovertext", "customdata", "ticktext", "name"]);
  function darkened(value, key) {
    if (DATA.has(key) && key !== "name" && Array.isArray(value)) return value;
    if (DATA.has(key) && typeof value === "string") return value;
    if (typeof value === "string") return darkFor[value] ?? value;
    if (Array.isArray(value)) return value.map((inner) => darkened(inner));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, darkened(inner, name)]));
    }
    return value;
  }

  // Plotly writes into what it is given: each drawing gets its own copy.
  function draw(dark, paper = false) {
    for (const [name, figure] of Object.entries(figures)) {
      const place = document.getElementById(`figure-${name}`);
      if (!place) continue;
      const { data, layout } = dark ? darkened(figure) : structuredClone(figure);
      // The front is as tall as its place: beside the best design, as tall as that card.
      if (name === "front") delete layout.height;
      // A printed page is narrower than the window, and tells nobody: A4 and Letter leave this much.
      const size = paper ? { width: 680, height: layout.height ?? 430 } : { autosize: true };
      // What the reader zoomed to stays when the colours change.
      Plotly.react(place, data, { ...layout, ...size, uirevision: "kept" }, config);
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
