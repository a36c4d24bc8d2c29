"""Hostile inputs, made by the million: each target is a reader of the package, and no input may do it harm.

`python -m test.fuzz` makes the inputs, `corpus/` keeps those that once did harm, and the tests here try all of these,
and some new ones. Targets are in `targets/`, the bounds are in `target.py`.
"""
