"""Values about principals, permissions and the audit."""
