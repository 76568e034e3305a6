"""Training: one loop for every head, the optimiser and its schedule, and the checkpoint that lets a run go on."""
