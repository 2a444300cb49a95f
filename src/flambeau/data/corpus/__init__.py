"""One plain text, for models that learn how a language goes on."""
