"""Why attempts fail: causes, recognised from the last lines of a log."""
