"""The flow of a chatbot."""
