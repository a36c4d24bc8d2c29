"""The only code that imports rclpy and message packages: the policy node, the simulated robot, replay, draft_robot.

The other rooms make all decisions; this one handles topics, clocks, threads and parameters.
"""
