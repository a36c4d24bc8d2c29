"""draft_robot, the program that writes the parameter file of a new robot: its command line, and the live graph.

Only live_graph imports rclpy, so that a draft from a bag needs no ROS.
"""
