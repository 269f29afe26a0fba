"""Pages about studies: the report, one file per study, and (in `live`) the dashboard that follows a database."""

from __future__ import annotations

from srsearch.dashboard.report import ReportData, render_report, write_report

__all__ = ["ReportData", "render_report", "write_report"]
