"""Epochs that no training ran."""

import dataclasses

from trainer.run.history import Epoch

EPOCHS = tuple(Epoch(n, 1 / n, 1 - 0.1 / n, 0.9 / n, 1 - 0.2 / n, 1.0, 100.0) for n in (1, 2, 3))
UNVALIDATED = tuple(dataclasses.replace(epoch, val_loss=None, val_accuracy=None) for epoch in EPOCHS)
