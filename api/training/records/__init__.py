"""Tasks and attempts in the database: every statement about them."""
