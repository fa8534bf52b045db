"""Actions around the loop: progress, TensorBoard, the divergence watchdog, and preemption."""
