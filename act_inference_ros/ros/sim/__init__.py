"""sim_robot: the demo arm of `simulation/`, which looks to ROS 2 like a ros2_control robot with a camera.

Topics, services and parameters only; physics and controllers live in `simulation/`.
"""
