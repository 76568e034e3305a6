"""Guards: checks and bounds that a protected model runs within its own forward pass.

Pure PyTorch: a guarded model keeps its modules, the names of its tensors and their values.
"""
