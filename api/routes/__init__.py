"""One blueprint a noun: a route parses, calls one service, answers."""
