"""Devices and machines: distribution strategy, `TF_CONFIG`, collectives, restart after a lost worker."""
