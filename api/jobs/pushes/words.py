"""What the program that pushes prints at its end; how far it is it tells as downloads do."""

#: Phrases that each fill a line: everything is at the hub; or it ends because it was asked to.
COMPLETED = "PUSH COMPLETE"
STOPPED = "Push stopped as it was asked to"
