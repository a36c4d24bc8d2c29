"""`make soak`: a long run of the real node at full rate, with what happens in a day, and what must not grow meanwhile.

`__main__` starts the processes, `measuring` samples them, `judgement` says what is flat and what has grown; `day` is
the robot and the person at it.
"""
