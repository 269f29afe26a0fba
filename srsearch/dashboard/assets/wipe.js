"use strict";
// The two pictures of the wipe, chosen among those of the gallery.
for (const side of ["left", "right"]) {
  const choice = document.getElementById(`wipe-${side}`);
  if (!choice) continue;
  const take = () => {
    const image = document.querySelectorAll(".gallery img")[choice.selectedIndex];
    Object.assign(document.getElementById(`wiped-${side}`), { src: image.src, alt: image.alt });
  };
  choice.addEventListener("change", take);
  take();
}
