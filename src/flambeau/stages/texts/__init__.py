"""What texts do otherwise than other rows: tokens, and answers that are given up."""
