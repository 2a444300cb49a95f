"""A run as one readable script of plain PyTorch."""

from flambeau.deploy.eject.script import eject

__all__ = ["eject"]
