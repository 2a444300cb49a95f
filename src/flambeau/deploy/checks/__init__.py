"""Whether a stranger's bundle is what it claims to be, before anything is computed."""
