"""From messages to observations: image decoding, freshness, skew and the nearest joint state.

Takes anything shaped like the message, from rclpy or from a bag. Imports numpy and, lazily, OpenCV or cv_bridge;
never rclpy.
"""
