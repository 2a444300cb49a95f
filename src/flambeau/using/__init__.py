"""What can be done beside training: check, resolve, evaluate, verify (`runs`), and compare two models (`compare`)."""

from flambeau.using.compare import compare
from flambeau.using.runs import CheckReport, check, evaluate, resolve, verify

__all__ = ["CheckReport", "check", "compare", "evaluate", "resolve", "verify"]
