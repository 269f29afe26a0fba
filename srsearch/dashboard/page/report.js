"use strict";
(() => {
  const read = (name) => JSON.parse(document.getElementById(name).textContent);
  const figures = Object.entries(read("figures")).map(([name, figure]) => [name, JSON.stringify(figure)]);
  const darkFor = read("palette");
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const budget = read("budget");
  const sliders = [...document.querySelectorAll(".budget input")];
  const value = (slider) => srsearchBudget.limit(Number(slider.value), { low: Number(slider.dataset.low), high: Number(slider.dataset.high) });
  const limits = () => Object.fromEntries(sliders.map((slider) => [slider.name, value(slider)]));
  const best = () => srsearchBudget.best(budget, limits());
  function draw(dark, paper = false) {
    for (const [name, text] of figures) {
      const place = document.getElementById(`figure-${name}`);
      if (!place) continue;
      const change = name === "front" && budget.designs.length ? (figure) => srsearchBudget.apply(figure, limits(), best()) : undefined;
      // The front is as tall as its place: beside the best design, as tall as that card.
      srsearchFigures.draw(place, text, { dark, darkFor, paper, tall: name !== "front", buttons: ["select2d"], change });
    }
  }

  // The budget: the best design within it is shown while a slider moves.
  function tell() {
    const shown = sliders.map((slider) => {
      const most = value(slider);
      const text = most === null ? "no limit" : srsearchBudget.quantity(most);
      slider.parentElement.querySelector("output").textContent = text;
      slider.setAttribute("aria-valuetext", text);
      return most === null ? [] : [`${text} ${slider.dataset.short}`];
    }).flat();
    const design = best();
    const line = document.getElementById("inside");
    if (!line) return;
    const what = shown.length ? `Best within ${shown.join(" and ")}: ` : "Best without a limit: ";
    if (!design) { line.textContent = `${what}no design fits.`; return; }
    const strong = document.createElement("strong");
    strong.textContent = `trial ${design.trial}, ${design.score}${budget.unit}`;
    const facts = budget.short.map((name, at) => `${design.told[at]} ${name}`);
    const axes = budget.axes.flatMap((name, at) => (design.values[at] ? [`${name} ${design.values[at]}`] : []));
    const error = design.error ? ` ${design.error}` : "";
    line.replaceChildren(what, strong, `${error}, ${facts.join(", ")}. ${axes.join(", ")}`);
  }
  tell();
  draw(darkness.matches); // after the text, which decides how much room the figure has
  darkness.addEventListener("change", (event) => draw(event.matches));
  addEventListener("beforeprint", () => draw(false, true));
  addEventListener("afterprint", () => draw(darkness.matches));
  for (const slider of sliders) {
    slider.addEventListener("input", () => {
      tell();
      srsearchBudget.show(document.getElementById("figure-front"), limits(), best());
    });
  }

  // A click on a design of the front finds its row.
  document.getElementById("figure-front")?.on?.("plotly_click", ({ points }) => {
    const row = document.getElementById(`trial-${points[0]?.customdata}`);
    if (!row) return;
    row.scrollIntoView({ block: "center", behavior: "smooth" });
    row.classList.add("found");
    setTimeout(() => row.classList.remove("found"), 2500);
  });

  // Sorting: numbers as numbers, text as text, missing values always last.
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
