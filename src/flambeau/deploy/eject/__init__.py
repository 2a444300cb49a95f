"""A run as one readable script of plain PyTorch."""

from flambeau.deploy.eject.core import EjectError
from flambeau.deploy.eject.given import Instead
from flambeau.deploy.eject.script import eject
from flambeau.deploy.eject.specialise import eject_text

__all__ = ["EjectError", "Instead", "eject", "eject_text"]
