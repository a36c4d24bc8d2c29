"""The threads of a program get the priority that a user asks for, and nothing else gets it."""

import os
import subprocess
import sys

import pytest

from benchmarks.real_time import may_have_priority

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's")

PROGRAM = """
import os, subprocess, sys, threading
from act_inference_ros.program.scheduling import give_priority

def said(thread):
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    print("real-time" if policy == os.SCHED_FIFO else "ordinary", os.sched_getparam(thread).sched_priority)

def waiting():
    ready, thread = threading.Event(), threading.Thread(target=lambda: (ready.set(), over.wait()))
    thread.start()
    ready.wait()
    return thread.native_id

over = threading.Event()
before = waiting()
give_priority(20)
said(os.getpid())
said(before)
after = waiting()
said(after)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
said(child.pid)
child.communicate(b"\\n")
give_priority(21)
said(after)
give_priority(0)
said(before)
over.set()
"""
REFUSED = """
import os, resource
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.scheduling import give_priority

resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.geteuid() == 0:
    os.setuid(65534)
give_priority(0)
try:
    give_priority(20)
except ConfigurationError as refusal:
    print(refusal)
"""
STARTED_SO = """
import os
from act_inference_ros.program.scheduling import give_priority

os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
give_priority(0)
print(os.sched_getparam(0).sched_priority)
"""


def ran(program: str) -> list[str]:
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return found.stdout.splitlines()


needs_permission = pytest.mark.skipif(not may_have_priority(21), reason="this user may have no real-time priority")


@needs_permission
def test_the_threads_that_there_are_have_the_priority_and_later_threads_and_processes_do_not() -> None:
    main, before, after, child, after_again, taken_back = ran(PROGRAM)
    assert main == before == "real-time 20"
    assert after == child == "ordinary 0"
    assert after_again == "real-time 21"
    assert taken_back == "ordinary 0"


@needs_permission
def test_a_program_that_was_started_with_a_priority_keeps_it() -> None:
    assert ran(STARTED_SO) == ["10"]


def test_where_it_is_not_allowed_it_is_refused_with_the_limit_and_what_to_do() -> None:
    (refusal,) = ran(REFUSED)
    assert refusal == (
        f"thread_priority: 20 is not allowed here ({os.strerror(1)}, the limit rtprio is 0); raise that limit, for "
        "example in /etc/security/limits.conf, or set thread_priority to 0"
    )
