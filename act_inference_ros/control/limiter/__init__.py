"""Limits of position, velocity and acceleration that a motion keeps at its knots and between them.

`limiter.py` puts the parts together: `bounds.py` tests a motion, `reference.py` makes of the plan what can be followed,
`bridge.py` and `landing.py` lead there from where the joints are, `braking.py` leads to rest, `straight.py` is for
joints that are not smooth. Imports numpy only.
"""
