"""One module per forge, each the only speaker of its API."""
