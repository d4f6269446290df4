"""Where the API stands on the server."""

BASE_PATH = "/api/v1"
