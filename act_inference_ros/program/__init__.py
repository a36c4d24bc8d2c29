"""What every executable of the package needs: signals, exit status, child processes, progress, installed files.

Knows nothing of policies or robots. Imports the standard library only, and rich where a progress bar is shown.
"""
