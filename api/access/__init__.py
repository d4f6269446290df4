"""Authentication, authorization, keys, sessions, users, and the audit."""
