"""eval_policy: its arguments, its runs, its thresholds and its exit status.

Connects the other rooms of the evaluation; decisions are made in those rooms.
"""
