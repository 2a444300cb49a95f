"""Time series: rows of a table in the order of time, windows of them, and their split by time."""
