"""From class names to class embeddings: prompts, descriptions, text encoders, and the initial matrix of a head."""
