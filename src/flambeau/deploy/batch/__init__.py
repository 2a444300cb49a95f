"""Predictions of folders and tables that are larger than memory, in parts, so that a stop loses little."""
