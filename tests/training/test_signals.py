"""SIGINT and SIGTERM as a stop request."""

import os
import signal
import threading

import pytest

from keras_resnet.training.signals import catch_stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_a_request_and_a_second_one_what_it_was(number):
    received = []
    before = signal.signal(number, lambda *_: received.append(number))
    try:
        with catch_stop_signals() as request:
            assert not request
            os.kill(os.getpid(), number)
            assert request
            assert request.signal == number
            assert not received
            os.kill(os.getpid(), number)
            assert received == [number]
        os.kill(os.getpid(), number)
        assert received == [number] * 2
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_signals_do_what_they_did():
    handlers = []

    def run():
        with catch_stop_signals() as request:
            handlers.append(signal.getsignal(signal.SIGTERM))
            assert not request

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]
