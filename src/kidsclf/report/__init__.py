"""The page that says what a run made and how far it can be trusted."""

from kidsclf.report.page import render_page, render_sections
from kidsclf.report.tables import ReportTables

__all__ = ["ReportTables", "render_page", "render_sections"]
