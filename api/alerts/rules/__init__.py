"""The rules: built-in and custom ones."""
