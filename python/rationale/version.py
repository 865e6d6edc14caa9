"""The version, which everything may import; pyproject.toml takes it from here."""

__version__ = "0.1.0"
