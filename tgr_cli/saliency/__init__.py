"""Saliency maps of a model (class activation maps), and their change under faults in its weights."""
