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

  // What limits change in the figure: by trace, and in the layout, each by its path.
  function changes({ data, layout }, limits, chosen) {
    const { cost, quality, floor, right, limit: own } = layout.meta;
    const most = limits[cost] ?? own ?? null;
    const traces = data.map(({ x, meta }) => {
      if (meta?.part === "points") {
        const inside = (_, at) => Object.entries(limits).every(([name, most]) => keeps(meta[name]?.[at], most));
        return { "marker.opacity": meta.usual.map((usual, at) => (inside(usual, at) ? usual : meta.faint)) };
      }
      if (meta?.part === "staircase") return { x: [...x.slice(0, -1), Math.max(Math.min(most ?? right, right), x.at(-2))] };
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
