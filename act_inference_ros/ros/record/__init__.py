"""record_topics: what passes on some topics becomes a bag, on machines without `ros2 bag`. It decodes nothing."""
