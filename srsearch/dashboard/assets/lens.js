"use strict";
// Pictures: one zoom and one place for all, and a wipe. The report and the live pages share this.
(() => {
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  function look() {
    const style = document.documentElement.style;
    style.setProperty("--zoom", view.zoom);
    style.setProperty("--x", `${100 * view.x}%`);
    style.setProperty("--y", `${100 * view.y}%`);
    document.documentElement.classList.toggle("zoomed", view.zoom > 1);
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
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { dragged = null; });
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
})();
