"use strict";
// What the live pages do in the browser: links, controls, figures, following. Nothing is asked of any other machine.
window.dash_clientside = window.dash_clientside || {};
String.prototype.trim = window.srsearchNative.trim;
(() => {
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const palette = () => JSON.parse(document.getElementById("palette").textContent);
  const say = (name, data) => window.dash_clientside.set_props(name, { data });

  // The link is the state: everything that is chosen is in it.
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

  // Figures.
  let figures = {};
  let paper = false;
  function drawAll(tries = 0) {
    let missing = false;
    for (const [name, figure] of Object.entries(figures)) {
      const place = document.getElementById(`figure-${name}`);
      if (!place || !window.Plotly) { missing = true; continue; }
      if (place.drawnAs !== undefined && place.drawnAs !== name) { Plotly.purge(place); place.listening = false; }
      place.drawnAs = name;
      const dark = darkness.matches && !paper;
      const buttons = name === "front" ? [] : ["select2d"];
      srsearchFigures.draw(place, figure, { dark, darkFor: palette(), paper, buttons });
      if (!place.listening) { place.listening = true; listen(place); }
    }
    for (const [name, text] of Object.entries(grids)) {
      const place = document.getElementById(`table-${name}`);
      if (!place) { missing = true; continue; }
      if (place.drawnAs !== name + text) drawGrid(place, JSON.parse(text));
      place.drawnAs = name + text;
    }
    // React puts places into the page after it has told of what belongs there.
    if (missing && tries < 120) { requestAnimationFrame(() => drawAll(tries + 1)); return; }
    document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
  }

  // Tables.
  let grids = {};
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
      const link = anchor(column.text, column.href, "inner");
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

  function listen(place) {
    place.on("plotly_click", ({ points }) => {
      const meant = points[0]?.customdata;
      if (typeof meant === "string" && meant.includes("=")) {
        go((search) => toggle(search, "only", meant));
      } else if (typeof meant === "number" && ["front", "fronts"].includes(place.drawnAs)) {
        go((search) => search.set("trial", meant));
      }
    });
    place.on("plotly_selected", (event) => {
      if (place.drawnAs !== "front" || !event?.range?.x) return;
      const search = new URLSearchParams(location.search);
      const { x, y } = event.range;
      const [cost, quality] = place.layout.meta;
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
        if (element !== document.activeElement || !sliding) element.value = position(control);
        element.limit = control;
        tell(element);
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
      element.addEventListener("input", () => { sliding = true; tell(element); slide(element); });
      element.addEventListener("change", () => { sliding = false; });
    }
    element.name = control.name;
    label.className = control.kind;
    label.prepend(words, element);
    return label;
  }

  // A slider is a logarithm; at its end there is no limit.
  let sliding = false;
  let waiting;
  const position = ({ value, low, high }) => (value ? Math.round((200 * Math.log(value / low)) / Math.log(high / low)) : 200);
  function limit(element) {
    const { low, high } = element.limit;
    return Number(element.value) >= 200 ? null : low * (high / low) ** (Number(element.value) / 200);
  }
  function tell(element) {
    // A link may hold a limit between two places of the slider.
    const exact = element !== document.activeElement && element.limit.value;
    const value = exact ? Number(exact) : limit(element);
    const text = value === null ? "no limit" : quantity(value);
    element.output.textContent = text;
    element.setAttribute("aria-valuetext", text);
  }
  function quantity(value) {
    for (const [suffix, factor] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["K", 1e3]]) {
      if (value >= 0.9995 * factor) return `${Number((value / factor).toPrecision(3))}${suffix}`;
    }
    return String(Math.round(value));
  }
  function slide(element) {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const value = limit(element);
      go((search) => (value === null ? search.delete(element.name) : search.set(element.name, value.toPrecision(6))), true);
    }, 30);
  }

  // Following: what the server knows is asked for again and again, without drawing anything while nothing has changed.
  let version = null;
  async function follow() {
    const live = document.getElementById("live");
    try {
      const answer = await fetch(`version${location.search}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.text();
      if (live) live.textContent = "following";
      // Compared with what the page was made of, not with the last answer: nothing is missed in between.
      if (version !== null && found !== version) say("version", found);
    } catch {
      if (live) live.textContent = "the dashboard has stopped: start it again with srsearch dashboard";
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

  // Pictures: one zoom and one place for all, and a wipe.
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  function look() {
    const style = document.documentElement.style;
    style.setProperty("--zoom", view.zoom);
    style.setProperty("--x", `${100 * view.x}%`);
    style.setProperty("--y", `${100 * view.y}%`);
    const zoom = document.getElementById("zoom");
    if (zoom && Number(zoom.value) !== view.zoom) zoom.value = view.zoom;
  }
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  document.addEventListener("input", (event) => {
    if (event.target.id === "zoom") { view.zoom = Number(event.target.value); look(); }
    if (event.target.id === "wipe") document.documentElement.style.setProperty("--wipe", `${event.target.value}%`);
  });
  function move(dx, dy) {
    view.x = clamp(view.x + dx, 0, 1);
    view.y = clamp(view.y + dy, 0, 1);
    look();
  }
  let dragged = null;
  document.addEventListener("pointerdown", (event) => {
    const lens = event.target.closest?.(".lens");
    if (lens) { dragged = { lens, x: event.clientX, y: event.clientY }; }
  });
  document.addEventListener("pointermove", (event) => {
    if (!dragged || view.zoom <= 1) return;
    const { width, height } = dragged.lens.getBoundingClientRect();
    move((dragged.x - event.clientX) / width / (view.zoom - 1), (dragged.y - event.clientY) / height / (view.zoom - 1));
    Object.assign(dragged, { x: event.clientX, y: event.clientY });
  });
  addEventListener("pointerup", () => { dragged = null; });
  document.addEventListener("keydown", (event) => {
    if (!event.target.classList?.contains("lens")) return;
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (steps[event.key]) { event.preventDefault(); move(...steps[event.key]); }
    if (event.key === "+" || event.key === "-") { view.zoom = clamp(view.zoom + (event.key === "+" ? 0.5 : -0.5), 1, 8); look(); }
  });
  document.addEventListener("wheel", (event) => {
    if (!event.target.closest?.(".lens") || !event.ctrlKey) return;
    event.preventDefault();
    view.zoom = clamp(view.zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2), 1, 8);
    look();
  }, { passive: false });

  window.dash_clientside.srsearch = {
    begin: () => location.search,
    draw: (found, controls, title, made, tables) => {
      version = made ?? null;
      grids = tables ?? {};
      figures = Object.fromEntries(Object.entries(found ?? {}).map(([name, text]) => [name, JSON.parse(text)]));
      document.title = title ? `${title} · srsearch` : "srsearch";
      drawControls(controls ?? []);
      document.getElementById("controls-place")?.toggleAttribute("hidden", !(controls ?? []).length);
      drawAll();
      return window.dash_clientside.no_update;
    },
  };
})();
