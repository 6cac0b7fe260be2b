"""Plots as inline SVG: plain data in, markup and the table behind it out. No script, no colour of their own."""
