"""Matrix and chaos need ROS; the witness's rules do not, but its messages do."""

import importlib.util
from pathlib import Path

NEED_ROS = ("test_matrix.py", "test_chaos.py")
collect_ignore = [] if importlib.util.find_spec("rclpy") else [str(Path(__file__).with_name(name)) for name in NEED_ROS]
