"""Texts and answers from language models and chatbots."""
