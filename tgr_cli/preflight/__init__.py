"""What a command needs, looked for before torch is loaded: everything that is missing is told at once."""
