"""The facts on which rules are evaluated."""
