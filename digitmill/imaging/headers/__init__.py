"""Reads an image file's structure before anything is decoded: kind, size, whether it is complete and safe."""
