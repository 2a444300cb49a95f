"""Questions and answers, for chatbots."""
