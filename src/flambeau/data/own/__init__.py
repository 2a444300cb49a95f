"""Data that a person's own code gives."""
