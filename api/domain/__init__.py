"""Values that several packages share: frozen dataclasses and enums, without I/O."""
