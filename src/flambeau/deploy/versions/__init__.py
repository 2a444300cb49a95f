"""Versions of models in a folder: `store` changes them, `listing` reads them, `resolve` finds the one that is meant."""
