"""From messages to observations: image decoding, freshness, skew and the nearest joint state.

Takes messages from rclpy or from a bag, or any object of the same shape. Imports numpy and, lazily, OpenCV or
cv_bridge; never rclpy.
"""
