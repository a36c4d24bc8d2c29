"""The witness's rules. Each looks at the recording alone, and gives the breaches that it finds.

The node's own supervisor, timeline and limiter are not used here: what they do is what is judged.

Left out, since a real node would raise false alarms: that the arm moves wherever its policy wants it to; that it begins
where it is measured after any other state than `inactive`; that it keeps moving once it has gone on after a fault; and
that a stream is led to rest while its node says nothing at all, and so does not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from test.witness.evidence import Breach, Evidence, Found
from test.witness.recording import Contract, Recording
from test.witness.rules_of_messages import curve, stamps, well_formed, well_formed_chunks
from test.witness.rules_of_motion import acceleration, begins, goes_on, position, velocity
from test.witness.rules_of_plans import backed, fresh, in_time, plan_age
from test.witness.rules_of_states import (
    back,
    commands_come,
    known_words,
    no_chunks,
    reason,
    rest,
    silent,
    status_goes_on,
)

RULES: Mapping[str, Callable[[Evidence], Found]] = {
    each.__name__: each
    for each in (
        well_formed, stamps, well_formed_chunks, curve, position, velocity, acceleration, begins, goes_on, in_time,
        plan_age, backed, fresh, silent, known_words, no_chunks, commands_come, status_goes_on, rest, back, reason,
    )
}  # fmt: skip
UNSAFE = tuple(name for name in RULES if name not in ("commands_come", "no_chunks", "back", "reason"))
"""Rules whose breach may move the arm wrongly; the others are of what a person sees and waits for."""


def judge(recording: Recording, contract: Contract) -> list[Breach]:
    """All that is wrong with a recording."""
    evidence = Evidence(recording, contract)
    return [Breach(name, time, detail) for name, rule in RULES.items() for time, detail in rule(evidence)]
