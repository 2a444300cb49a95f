"""Data that are made: every kind, deterministic by seed, hard enough that no model is perfect."""
