"""Training: one loop for all heads, optimiser and schedule, and resumable checkpoints."""
