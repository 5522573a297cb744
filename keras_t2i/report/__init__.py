"""Results as pages: one self-contained HTML file for a comparison of methods, one for a single run."""

from keras_t2i.report.comparison import render_comparison
from keras_t2i.report.page import require_report_packages
from keras_t2i.report.run import RunPage, render_run

__all__ = ["RunPage", "render_comparison", "render_run", "require_report_packages"]
