"use strict";
// The budget: how its sliders count, which design is best inside, and what of the front's figure it changes.
// The report and the live pages share this.
window.srsearchBudget = (() => {
  const END = 200;

  // A slider is a logarithm; at its end there is no limit.
  function limit(place, { low, high }) {
    return place >= END ? null : Number((low * (high / low) ** (place / END)).toPrecision(6));
  }
  function position(value, { low, high }) {
    return value === null ? END : Math.round((END * Math.log(value / low)) / Math.log(high / low));
  }
  function quantity(value) {
    for (const [suffix, factor] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["K", 1e3]]) {
      if (value >= 0.9995 * factor) return `${Number((value / factor).toPrecision(3))}${suffix}`;
    }
    return String(Math.round(value));
  }

  // What is not known keeps to no limit.
  const keeps = (count, most) => (most ?? null) === null || ((count ?? null) !== null && count <= most);
  // The designs come best first.
  function best({ designs }, limits) {
    return designs.find((design) => Object.entries(limits).every(([name, most]) => keeps(design[name], most)));
  }

  // The line through the finished designs within the limits that no other of them beats, up to the budget.
  function staircase(data, { cost, quality, floor }, limits, chosen, end) {
    const inside = chosen ? [[chosen[cost], chosen[quality]]] : [];
    for (const { x, y, meta, legendgroup } of data) {
      if (meta?.part !== "points" || meta.unfinished) continue;
      for (let at = 0; at < x.length; at += 1) {
        // Points on the edge of the figure are not where they would be.
        if (y[at] <= floor && legendgroup !== "front") continue;
        if (Object.entries(limits).every(([name, most]) => keeps(meta[name]?.[at], most))) inside.push([x[at], y[at]]);
      }
    }
    inside.sort(([a, b], [c, d]) => a - c || d - b);
    let most = -Infinity;
    const steps = inside.filter(([, height]) => height > most && ((most = height), true));
    if (!steps.length) return { x: [], y: [] };
    const [right, top] = steps.at(-1);
    return { x: [...steps.map(([x]) => x), Math.max(end, right)], y: [...steps.map(([, y]) => y), top] };
  }

  // What limits change in the figure: by trace, and in the layout, each by its path.
  function changes({ data, layout }, limits, chosen) {
    const { cost, quality, floor, right, limit: own } = layout.meta;
    const most = limits[cost] ?? own ?? null;
    const traces = data.map(({ meta }) => {
      if (meta?.part === "points") {
        const inside = (_, at) => Object.entries(limits).every(([name, most]) => keeps(meta[name]?.[at], most));
        const labels = meta.labels ? { text: meta.labels.map((label, at) => (inside(label, at) ? label : "")) } : {};
        return { ...labels, "marker.opacity": meta.usual.map((usual, at) => (inside(usual, at) ? usual : meta.faint)) };
      }
      if (meta?.part === "staircase") return staircase(data, layout.meta, limits, chosen, Math.min(most ?? right, right));
      if (meta?.part !== "best") return {};
      if (!chosen) return { x: [], y: [], showlegend: false };
      return { x: [chosen[cost]], y: [Math.max(chosen[quality], floor)], name: `trial ${chosen.trial}`, showlegend: true };
    });
    const line = `shapes[${layout.shapes.findIndex(({ name }) => name === "limit")}]`;
    const words = `annotations[${layout.annotations.findIndex(({ name }) => name === "limit")}]`;
    const there = { [`${line}.visible`]: most !== null, [`${words}.visible`]: most !== null };
    if (most === null) return { traces, layout: there };
    const place = { [`${line}.x0`]: most, [`${line}.x1`]: most, [`${words}.x`]: Math.log10(most) };
    return { traces, layout: { ...there, ...place, [`${words}.text`]: `budget ${quantity(most)}` } };
  }
  function put(inside, path, value) {
    const steps = path.split(/[.[\]]+/).filter(Boolean);
    const last = steps.pop();
    steps.reduce((at, step) => at[step], inside)[last] = value;
  }

  // Into a figure that is about to be drawn.
  function apply(figure, limits, chosen) {
    const { traces, layout } = changes(figure, limits, chosen);
    traces.forEach((found, at) => Object.entries(found).forEach(([path, value]) => put(figure.data[at], path, value)));
    Object.entries(layout).forEach(([path, value]) => put(figure.layout, path, value));
  }

  // Into a figure that stands on the page.
  function show(place, limits, chosen) {
    const { traces, layout } = changes(place, limits, chosen);
    const touched = [...traces.keys()].filter((at) => Object.keys(traces[at]).length);
    const paths = new Set(touched.flatMap((at) => Object.keys(traces[at])));
    const restyled = Object.fromEntries([...paths].map((path) => [path, touched.map((at) => traces[at][path])]));
    return Plotly.update(place, restyled, layout, touched);
  }

  return { limit, position, quantity, best, apply, show };
})();
