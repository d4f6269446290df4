"""Who may do what: `key_ring` knows which keys hold, `operations` what each request needs, `authority` decides."""
