"""One machine or several: `TF_CONFIG`, distribution strategy, collectives, restart after a lost worker."""
