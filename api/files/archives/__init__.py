"""Archives that others have made: names checked, limits held while writing, in a process of its own (`expander`)."""
