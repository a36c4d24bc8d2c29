"""Local inference in a separate process, so that a crash or hang there does not end or delay the calling process.

`backend` runs in the calling process, `engine_process` is the program that computes. Short messages go between the two
(`channel`); images and chunks are in memory that both have mapped (`shared_arrays`). No pickle is used. The package
works with any engine that `engines.open_engine` opens and depends on none of them.
"""
