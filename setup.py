"""What Beam's `--setup_file` and training clusters build from; the metadata is in pyproject.toml."""

from setuptools import setup

setup()
