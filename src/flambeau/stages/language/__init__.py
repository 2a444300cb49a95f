"""The flow of a language model."""
