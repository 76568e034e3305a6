"""One self-contained HTML file on what was measured: figures with their data, and the words around them."""
