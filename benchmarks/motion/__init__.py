"""The parts of `bench_motion`: a plan, ways of sending it, controller and arm, and figures of what the arm gets."""
