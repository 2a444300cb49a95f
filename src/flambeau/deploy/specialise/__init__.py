"""Partial evaluation of the core's source: from functions for every run to one script for this run."""

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.given import Facts, Instead
from flambeau.deploy.specialise.specialise import eject_text

__all__ = ["EjectError", "Facts", "Instead", "eject_text"]
