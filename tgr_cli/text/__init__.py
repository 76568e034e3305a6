"""From class names to class embeddings: prompts, descriptions, text encoders, and the matrix a head starts from."""
