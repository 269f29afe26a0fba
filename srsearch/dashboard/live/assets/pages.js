"use strict";
// The live pages in the browser: links, controls, figures, following. No other server is contacted.
window.dash_clientside = window.dash_clientside || {};
String.prototype.trim = window.srsearchNative.trim;
(() => {
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const palette = () => JSON.parse(document.getElementById("palette").textContent);
  // Asks the server for the page; `asked` is when, until it answers.
  let asked = 0;
  function say(name, data) {
    asked = Date.now();
    window.dash_clientside.set_props(name, { data });
  }

  // The link holds the whole state: every choice is in it.
  function go(change, replace = false) {
    const search = new URLSearchParams(location.search);
    change(search);
    const text = search.toString();
    const link = text ? `?${text}` : location.pathname;
    history[replace ? "replaceState" : "pushState"](null, "", link);
    say("address", location.search);
  }
  addEventListener("popstate", () => say("address", location.search));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.inner");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const view = new URLSearchParams(location.search).get("view");
    history.pushState(null, "", link.getAttribute("href"));
    say("address", location.search);
    if (view !== new URLSearchParams(location.search).get("view")) {
      scrollTo(0, 0);
      document.getElementById("content")?.focus({ preventScroll: true });
    }
  });

  // Draws the page as the server describes it, in Dash components. Elements that stay keep their focus and figure.
  function fill(place, children) {
    const wanted = [children].flat().filter((child) => child !== null && child !== undefined);
    wanted.forEach((child, at) => {
      const rest = [...place.childNodes].slice(at);
      const same = rest.findIndex((node) => node.kind === kindOf(child));
      if (same < 0) place.insertBefore(made(child), rest[0] ?? null);
      else rest.slice(0, same).forEach((node) => node.remove());
      if (typeof child === "object") dress(place.childNodes[at], child.props);
    });
    while (place.childNodes.length > wanted.length) place.lastChild.remove();
  }
  function kindOf(child) {
    return typeof child === "object" ? JSON.stringify([child.type, child.props.id, child.props.className]) : `text ${child}`;
  }
  function made(child) {
    const node = typeof child === "object" ? document.createElement(child.type) : document.createTextNode(child);
    node.kind = kindOf(child);
    if (child.props?.className) node.className = child.props.className;
    return node;
  }
  function dress(node, { children, className, style, ...props }) {
    const wanted = new Map();
    for (const [name, value] of Object.entries(props)) {
      if (["string", "number"].includes(typeof value)) wanted.set(name === "htmlFor" ? "for" : name.toLowerCase(), String(value));
    }
    for (const name of node.described ?? []) if (!wanted.has(name)) node.removeAttribute(name);
    for (const [name, value] of wanted) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    node.described = [...wanted.keys()];
    for (const [name, value] of Object.entries(style ?? {})) node.style[name] = `${value}px`;
    // Elements without children are filled by this script.
    if ((children ?? null) !== null) fill(node, children);
  }

  // Figures.
  let figures = {};
  let paper = false;
  function drawAll(tries = 0) {
    if (!window.Plotly && tries < 600) { requestAnimationFrame(() => drawAll(tries + 1)); return; }
    for (const [name, text] of Object.entries(figures)) {
      const place = document.getElementById(`figure-${name}`);
      if (!place) continue;
      const dark = darkness.matches && !paper;
      const buttons = name === "front" ? [] : ["select2d"];
      const change = name === "front" && budget.designs ? (figure) => srsearchBudget.apply(figure, ...chosen(place)) : undefined;
      srsearchFigures.draw(place, text, { dark, darkFor: palette(), paper, buttons, change });
      if (!place.listening) { place.listening = true; listen(place, name); }
    }
    count("drawn");
  }
  // Counts what the browser has shown, for tests that wait for it.
  function count(name) {
    const { dataset } = document.documentElement;
    requestAnimationFrame(() => setTimeout(() => { dataset[name] = String(Number(dataset[name] ?? 0) + 1); }));
  }

  // The best design within the budget. While a slider moves everything is computed here; the server follows.
  let budget = {};
  let moved = {};
  const limits = () => ({ ...budget.limits, ...moved });
  function chosen(place) {
    const found = srsearchBudget.best(budget, limits());
    place.shown = JSON.stringify([limits(), found?.trial]);
    return [limits(), found];
  }
  function drawBudget() {
    if (!budget.designs) return;
    const figure = document.getElementById("figure-front");
    const before = figure.shown;
    const [most, design] = chosen(figure);
    if (figure.drawnText && figure.shown !== before) srsearchBudget.show(figure, most, design);
    drawCard(document.getElementById("best"), design);
  }
  function drawCard(card, design) {
    if (!card.parts) {
      card.parts = ["score", "facts", "ties", "axes"].map((kind) => element({ facts: "dl", axes: "dl" }[kind] ?? "p", kind));
      card.replaceChildren(...card.parts);
    }
    const [score, facts, ties, axes] = card.parts;
    for (const part of [facts, ties, axes]) part.hidden = !design;
    if (!design) { score.replaceChildren("No finished design fits the budget and the selection."); return; }
    const quality = element("strong", "", design.score);
    quality.id = "best-quality";
    const search = new URLSearchParams(location.search);
    search.set("view", "design");
    search.set("trial", design.trial);
    score.replaceChildren(quality, `${budget.unit} ${design.error}`, anchor(`trial ${design.trial}`, `?${search}`, "inner"));
    const pair = (name, value) => element("div", "", element("dt", "", name), element("dd", "", value));
    facts.replaceChildren(...budget.facts.map((name, at) => pair(name, design.told[at])));
    axes.replaceChildren(...budget.axes.flatMap((name, at) => (design.values[at] ? [pair(name, design.values[at])] : [])));
    // The ties come from the server; the text is hidden until it answers.
    ties.textContent = budget.ties;
    ties.hidden = !budget.ties;
    const asked = (column) => budget.limits[column] ?? null;
    ties.classList.toggle("awaited", Object.entries(moved).some(([column, most]) => most !== asked(column)));
  }

  // Tables.
  function drawGrids(grids) {
    for (const [name, text] of Object.entries(grids)) {
      const place = document.getElementById(`table-${name}`);
      if (place.drawnText !== text) drawGrid(place, JSON.parse(text));
      place.drawnText = text;
    }
  }
  function element(name, kind, ...children) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...children);
    return made;
  }
  function anchor(text, href, kind) {
    const made = element("a", kind, text);
    made.href = href;
    return made;
  }
  function drawGrid(place, { caption, columns, rows, counted, more, files }) {
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
    const scrolled = place.querySelector(".scroll")?.scrollTop ?? 0;
    const head = element("tr", "", ...columns.map((column, at) => {
      const link = anchor(column.text.replaceAll(".", ".\u200b"), column.href, "inner");  // a long name may be broken
      link.dataset.place = `head ${at}`;
      const made = element("th", column.kind, link);
      made.scope = "col";
      made.title = column.title;
      if (column.sort) made.setAttribute("aria-sort", column.sort);
      return made;
    }));
    const body = rows.map((row) => element("tr", "", ...row.map(({ text, href, kind }) =>
      element("td", kind, href ? anchor(text, href, "inner") : text))));
    const table = element("table", "", element("caption", "", caption), element("thead", "", head), element("tbody", "", ...body));
    const scroll = element("div", "scroll", table);
    Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: caption });
    const after = element("p", "after", element("span", "quiet", counted));
    if (more) after.append(anchor(more.text, more.href, "inner"));
    for (const { text, href, file } of files) {
      const link = anchor(text, href, "");
      link.download = file;
      link.title = `${caption}, all rows`;
      after.append(link);
    }
    place.replaceChildren(scroll, after);
    scroll.scrollTop = scrolled;
    if (focused) place.querySelector(`[data-place="${focused}"]`)?.focus();
  }
  darkness.addEventListener("change", () => drawAll());
  addEventListener("beforeprint", () => { paper = true; drawAll(); });
  addEventListener("afterprint", () => { paper = false; drawAll(); });

  function listen(place, name) {
    place.on("plotly_click", ({ points }) => {
      const meant = points[0]?.customdata;
      if (typeof meant === "string" && meant.includes("=")) {
        go((search) => toggle(search, "only", meant));
      } else if (typeof meant === "number" && ["front", "fronts"].includes(name)) {
        go((search) => search.set("trial", meant));
      }
    });
    place.on("plotly_selected", (event) => {
      if (name !== "front" || !event?.range?.x) return;
      const search = new URLSearchParams(location.search);
      const { x, y } = event.range;
      const { cost, quality } = place.layout.meta;
      const edge = (value) => Number(value).toPrecision(6);
      const box = `${cost}:${edge(Math.min(...x))}:${edge(Math.max(...x))},${quality}:${edge(Math.min(...y))}:${edge(Math.max(...y))}`;
      if (search.get("box") !== box) go((inner) => inner.set("box", box));
    });
    place.on("plotly_deselect", () => go((search) => search.delete("box")));
  }
  function toggle(search, name, value) {
    const before = search.getAll(name);
    search.delete(name);
    for (const each of before) if (each !== value) search.append(name, each);
    if (!before.includes(value)) search.append(name, value);
  }

  // Controls: native elements, so that keyboard and screen reader know them.
  let drawnControls = "";
  function drawControls(controls) {
    const place = document.getElementById("controls-place");
    if (!place) return;
    const shape = JSON.stringify(controls.map((each) => ({ ...each, value: undefined })));
    if (shape !== drawnControls) {
      const focused = document.activeElement?.name;
      drawnControls = shape;
      const groups = new Map();
      for (const control of controls) {
        if (!groups.has(control.group)) groups.set(control.group, []);
        groups.get(control.group).push(control);
      }
      place.replaceChildren(...[...groups].map(([name, members]) => group(name, members)));
      if (focused) place.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
    }
    for (const control of controls) {
      const element = place.querySelector(`[name="${CSS.escape(control.name)}"]`);
      if (!element) continue;
      if (control.kind === "check") element.checked = control.value === "1";
      else if (control.kind === "limit") {
        element.limit = control;
        const column = control.name.replace("max_", "");
        if (!(column in moved)) element.value = srsearchBudget.position(control.value ? Number(control.value) : null, control);
        tell(element, column in moved ? moved[column] : control.value ? Number(control.value) : null);
      } else element.value = control.value;
    }
  }
  function group(name, members) {
    const fieldset = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = name;
    fieldset.append(legend, ...members.map(row));
    return fieldset;
  }
  function row(control) {
    const label = document.createElement("label");
    const words = document.createElement("span");
    words.textContent = control.label;
    let element;
    if (control.kind === "select") {
      element = document.createElement("select");
      for (const option of control.options) element.append(new Option(option.label, option.value));
      element.addEventListener("change", () => {
        go((search) => {
          if (control.adds) { if (element.value) toggle(search, control.name, element.value); }
          else if (element.value) search.set(control.name, element.value);
          else search.delete(control.name);
        });
      });
    } else if (control.kind === "check") {
      element = document.createElement("input");
      element.type = "checkbox";
      element.addEventListener("change", () => {
        go((search) => (element.checked ? search.set(control.name, "1") : search.delete(control.name)));
      });
    } else {
      element = document.createElement("input");
      Object.assign(element, { type: "range", min: 0, max: 200, step: 1 });
      const output = document.createElement("output");
      label.append(output);
      element.output = output;
      element.limit = control;
      element.addEventListener("input", () => slide(element));
    }
    element.name = control.name;
    label.className = control.kind;
    label.prepend(words, element);
    return label;
  }

  function tell(element, value) {
    const text = value === null ? "no limit" : srsearchBudget.quantity(value);
    element.output.textContent = text;
    element.setAttribute("aria-valuetext", text);
  }
  const REST = 200;
  let waiting;
  function slide(element) {
    const value = srsearchBudget.limit(Number(element.value), element.limit);
    moved[element.name.replace("max_", "")] = value;
    tell(element, value);
    if (budget.designs) {
      drawBudget();
      count("drawn");
    }
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      waiting = undefined;
      const names = Object.entries(moved).map(([column, most]) => [`max_${column}`, most]);
      go((search) => names.forEach(([name, most]) => (most === null ? search.delete(name) : search.set(name, most))), true);
    }, budget.designs ? REST : 30);
  }

  // Following: asks the server for its version again and again, and draws only when it has changed.
  // While it computes an answer it is not asked for another one, unless that one seems to be lost.
  const PATIENCE = 30_000;
  let version = null;
  async function follow() {
    const live = document.getElementById("live");
    try {
      const answer = await fetch(`version${location.search}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.text();
      if (live) live.textContent = "updates live";
      // Compared with the version of the page, not with the last answer, so that no change is missed.
      if (version !== null && found !== version && Date.now() - asked > PATIENCE) say("version", found);
    } catch {
      if (live) live.textContent = "The dashboard has stopped. Start it again with srsearch dashboard.";
    }
  }
  setInterval(() => document.hidden || follow(), 2000);

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy it by hand";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  });

  window.dash_clientside.srsearch = {
    begin: () => {
      fill(document.getElementById("content"), [{ type: "P", props: { className: "quiet", children: "Reading the database." } }]);
      return location.search;
    },
    draw: (text) => {
      if (!text) return window.dash_clientside.no_update;
      const page = JSON.parse(text);
      version = page.made;
      asked = 0;
      figures = page.figures;
      budget = page.budget;
      // Sliders that moved since the request keep their position.
      if (waiting === undefined && page.search === location.search) moved = {};
      document.title = page.title ? `${page.title} · srsearch` : "srsearch";
      fill(document.getElementById("head"), page.head);
      fill(document.getElementById("content"), page.content);
      drawControls(page.controls);
      document.getElementById("controls-place").hidden = !page.controls.length;
      drawGrids(page.grids);
      drawBudget();
      drawAll();
      count("answered");
      return window.dash_clientside.no_update;
    },
  };
})();
