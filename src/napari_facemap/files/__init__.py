"""Everything on disk: one module a format, each with its ``read_*`` and ``write_*``."""
