"""The report: one self-contained HTML file with figures, their data, and text."""
