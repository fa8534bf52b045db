"""Keeps TensorFlow's start-up chatter off the terminal."""

from commands.native_log import held as quiet_stderr

__all__ = ["quiet_stderr"]
