"""What `make demo` runs: a policy trained on the spot, the node and the simulated robot as processes of their own.

Starts programs and watches them, and makes a page of what passed on their topics; imports neither rclpy nor torch.
"""
