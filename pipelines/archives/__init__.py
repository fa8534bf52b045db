"""Reads images that are packed in zip, tar and TFRecord files, member by member and in bounded memory."""
