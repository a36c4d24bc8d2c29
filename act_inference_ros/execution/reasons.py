"""Why the arm is not commanded: short reasons, each defined once. The reasons of inputs are in `refusal.Reason`."""

NO_PLAN = "no plan yet"
RESET = "reset"
STARTING = (NO_PLAN, RESET)
"""The reasons that occur in every healthy start."""

CLOCK_JUMPED = "the clock jumped back"
NO_CLOCK = "no clock"
CLOCK_STILL = "the clock stands still"
TOO_LATE = "chunk too late"
NOT_MEASURED = "joint not measured"
PUBLISHED_LATE = "commands too late"
RAN_OUT = "plan ran out"
TOO_OLD = "plan too old"
NOT_FOLLOWING = "does not follow"
INFERENCE_FAILED = "inference failed"
SLOWED = "slowed down"
ANOTHER_POLICY = "another policy"
INTERNAL_FAULT = "internal fault"

NOT_ENABLED = "not enabled"
NOBODY_LISTENS = "nobody listens"
SOMEBODY_ELSE = "another publisher"
PERMISSIONS = (NOT_ENABLED, NOBODY_LISTENS, SOMEBODY_ELSE)
"""The reasons that need a permission of somebody else."""

OPERATOR = "operator"
CLEARED = "stop cleared"
AT_START_POSE = "at the start pose"
NEAR_START_POSE = "start pose not quite reached"
STARTED_PAUSED = "started paused"
