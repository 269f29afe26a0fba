"""Pages to look at: the static report of a study."""

from __future__ import annotations

from srsearch.dashboard.report import ReportData, render_report, write_report

__all__ = ["ReportData", "render_report", "write_report"]
