"""Shows a result to people: report.html, the terminal's table, and two runs side by side.

Imports plotly and rich where they are used.
"""
