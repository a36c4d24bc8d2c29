"""Property tests have no deadline, because a busy machine may pause, and use the same examples every time."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
