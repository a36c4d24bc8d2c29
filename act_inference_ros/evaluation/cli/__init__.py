"""eval_policy: its arguments, its runs, its thresholds and its exit status.

Puts the other rooms of the evaluation together and decides nothing that they can decide.
"""
