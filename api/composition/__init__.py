"""The composition root: builds every part once, starts them, and stops them in reverse order."""
