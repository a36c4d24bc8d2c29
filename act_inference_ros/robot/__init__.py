"""How the user describes the robot: parameters (each declared once), the typed configuration, the parameter file.

Imports numpy only, and PyYAML where a file is read; the node, the evaluator and the simulator share it.
"""
