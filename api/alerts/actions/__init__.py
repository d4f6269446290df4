"""Actions of rules, besides notifications."""
