"use strict";
// Loaded before Dash's polyfills: one of them replaces String.prototype.trim, which Plotly calls for every point.
window.srsearchNative = window.srsearchNative ?? { trim: String.prototype.trim };
