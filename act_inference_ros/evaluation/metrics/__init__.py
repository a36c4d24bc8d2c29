"""Running sums, smoothness, findings and bounded samples: from errors and times to the numbers of a result.

Memory does not grow with the length of an episode. Imports numpy only.
"""
