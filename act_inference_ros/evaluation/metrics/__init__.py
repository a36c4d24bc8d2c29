"""Running sums, smoothness, findings and bounded samples: they turn errors and times into the numbers of a result.

Memory does not grow with the length of an episode. Imports numpy only.
"""
