"""What an answer depends on."""
