"""What a model looks at, as maps over the image, and how faults in its weights move them."""
