"""HTTP for bundles: requests that wait are answered together, and all that a stranger sends has a limit."""
