"""The parts of `bench_motion`: plans, ways of sending them, a controller with its arm, figures of its setpoint."""
