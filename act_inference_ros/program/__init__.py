"""Tools for every executable of the package: signals, exit status, child processes, progress, installed files.

Independent of policies and robots. Imports the standard library only, and rich to show a progress bar.
"""
