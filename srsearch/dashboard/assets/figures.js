"use strict";
// Figures come in the light palette, every colour whole, so that turning one dark is an exchange of colours.
// The report and the live pages share this.
window.srsearchFigures = (() => {
  // Data are left alone: a text that happens to be a colour stays what it is.
  const DATA = new Set(["x", "y", "z", "text", "hovertext", "customdata", "ticktext", "name"]);
  function darkened(value, key, darkFor) {
    if (key === "meta") return value;
    if (DATA.has(key) && key !== "name" && (Array.isArray(value) || value?.bdata)) return value;
    if (DATA.has(key) && typeof value === "string") return value;
    if (typeof value === "string") return darkFor[value] ?? value;
    if (Array.isArray(value)) return value.map((inner) => darkened(inner, undefined, darkFor));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, darkened(inner, name, darkFor)]));
    }
    return value;
  }

  // Plotly's mode bar offers to upload a figure to a cloud service. Our pages ask nothing of another machine.
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };

  // Plotly counts the redraws for which a figure's margins change, lowers the count when a drawing ends, and warns of
  // too many. So the drawings of a place follow one another, and of those that wait only the last is done.
  function queue(place, act) {
    place.awaited = act;
    place.drawing ??= (async () => {
      try {
        while (place.awaited) {
          const next = place.awaited;
          place.awaited = undefined;
          await next();
        }
      } finally {
        place.drawing = undefined;
      }
    })();
  }

  // A figure comes as JSON text, so that each drawing has its own copy (Plotly writes into what it is given), and so
  // that one that has not changed is not drawn again.
  function draw(place, text, { dark, darkFor, paper = false, tall = true, buttons = [], change }) {
    const how = `${dark} ${paper}`;
    if (place.drawnText === text && place.drawnHow === how) return;
    Object.assign(place, { drawnText: text, drawnHow: how });
    queue(place, () => react(place, text, { dark, darkFor, paper, tall, buttons, change }));
  }
  function react(place, text, { dark, darkFor, paper, tall, buttons, change }) {
    const copy = JSON.parse(text);
    change?.(copy);
    const { data, layout } = dark ? darkened(copy, undefined, darkFor) : copy;
    if (!tall) delete layout.height;
    // A printed page is narrower than the window, and tells nobody: A4 and Letter leave this much.
    // There a legend takes another line.
    const margin = { ...layout.margin, t: (layout.margin?.t ?? 40) + 24 };
    const size = paper ? { width: 680, height: (layout.height ?? 430) + 24, margin } : { autosize: true };
    // What the reader zoomed to stays when colours change or the study grows; a selection is drawn by us.
    const kept = { uirevision: layout.uirevision ?? "kept", selectionrevision: Math.random(), selections: [] };
    const settings = { ...config, modeBarButtonsToRemove: ["lasso2d", "autoScale2d", ...buttons] };
    return Plotly.react(place, data, { ...layout, ...size, ...kept }, settings);
  }

  return { draw };
})();
