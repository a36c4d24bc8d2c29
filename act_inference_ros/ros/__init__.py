"""The only code that imports rclpy and message packages: the policy node, its parameters, commands and diagnostics, and the simulated robot.

Everything it decides is decided by the other rooms.
"""
