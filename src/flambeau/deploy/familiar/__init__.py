"""Whether an input is like the training data."""
