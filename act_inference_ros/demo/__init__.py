"""What `make demo` runs: a policy trained on the spot, the node and the simulated robot as processes of their own.

Starts programs and watches them; imports neither rclpy nor torch.
"""
