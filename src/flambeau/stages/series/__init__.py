"""What forecasts do otherwise than other models: feed, choice of a form, score."""
