"""One HTML file that shows what a training run did: no network, no script, made to be looked at."""

from training.report.page import write_report

__all__ = ["write_report"]
