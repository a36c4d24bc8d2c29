"""The only code that imports rclpy and message packages: the policy node and the simulated robot.

Everything they decide is decided in the other rooms; here are topics, clocks, threads and parameters.
"""
