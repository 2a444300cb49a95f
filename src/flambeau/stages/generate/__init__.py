"""The flow of a net that makes pictures."""
