"""StopSignals, in programs of their own: whichever thread gets the signal, and what it does to the exit status."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from act_inference_ros.program.signals import StopSignals

DEADLINE_S = 30.0


def run_program(body: str, *signals: int) -> tuple[int, str]:
    """Run a program until it says `ready`, send it the signals, one after each line; its exit status and output."""
    head = """
        import ctypes, os, signal, sys, threading, time
        from act_inference_ros.program.signals import StoppedBySignal, StopSignals
    """
    code = textwrap.dedent(head) + textwrap.dedent(body)
    with subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True) as process:
        said = []
        try:
            for number in signals:
                said.append(process.stdout.readline())
                process.send_signal(number)
            said.append(process.communicate(timeout=DEADLINE_S)[0])
        finally:
            process.kill()
    return process.returncode, "".join(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_ends_with_the_signal(number: int) -> None:
    status, said = run_program("s = StopSignals(); print('ready'); print(s.wait(60.0), s.given)", number)
    assert (status, said) == (0, "ready\nTrue True\n")


def test_waiting_without_a_signal_lets_the_time_pass() -> None:
    status, said = run_program("s = StopSignals(); print(s.wait(0.05), s.given); s.check()")
    assert (status, said) == (0, "False False\n")


def test_check_raises_with_the_exit_status() -> None:
    body = """
        s = StopSignals()
        print("ready")
        s.wait(60.0)
        try:
            s.check()
        except StoppedBySignal as stopped:
            sys.exit(stopped.exit_status)
    """
    assert run_program(body, signal.SIGTERM)[0] == 128 + signal.SIGTERM


def test_a_signal_in_another_thread_wakes_the_main_one() -> None:
    body = """
        s = StopSignals()
        blocked = threading.Event()
        def other():
            blocked.wait()
            ctypes.CDLL(None).tgkill(os.getpid(), threading.get_native_id(), int(signal.SIGTERM))
        thread = threading.Thread(target=other)
        thread.start()
        blocked.set()
        print(s.wait(60.0))
        thread.join()
    """
    assert run_program(body) == (0, "True\n")


def test_other_signals_do_not_stop() -> None:
    body = """
        signal.signal(signal.SIGUSR1, lambda *_: print("other"))
        s = StopSignals()
        os.kill(os.getpid(), signal.SIGUSR1)
        print(s.wait(0.05))
    """
    assert run_program(body) == (0, "other\nFalse\n")


def test_a_signal_interrupts_only_where_it_may() -> None:
    body = """
        s = StopSignals()
        print("ready")
        s.wait(60.0)
        print("not raised")
        try:
            with s.interrupting():
                print("never")
        except StoppedBySignal:
            os.kill(os.getpid(), signal.SIGTERM)
            print("once")
    """
    assert run_program(body, signal.SIGINT) == (0, "ready\nnot raised\nonce\n")


def test_the_second_signal_interrupts_where_the_first_only_asks() -> None:
    body = """
        s = StopSignals(on_first=lambda: print("first"))
        try:
            with s.interrupting(after=1):
                print("ready")
                time.sleep(60.0)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    assert run_program(body, signal.SIGINT, signal.SIGINT) == (130, "ready\nfirst\n")


def test_a_signal_before_the_program_looks_is_not_lost() -> None:
    signals = StopSignals()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.given
    assert signals.wait(60.0)
