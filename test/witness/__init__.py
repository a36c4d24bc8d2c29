"""A witness that knows only topics, and the fault matrix that it judges."""
