"""The web service: an HTTP API and the page that uses it."""
