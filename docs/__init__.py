"""The documentation site: pages, settings, and what makes the reference."""
