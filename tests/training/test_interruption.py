import os
import signal
import threading

import pytest

from keras_resnet.training.interruption import wish_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_a_wish_and_a_second_one_what_it_was(number):
    told = []
    before = signal.signal(number, lambda *_: told.append(number))
    try:
        with wish_to_stop() as wish:
            assert not wish
            os.kill(os.getpid(), number)
            assert wish
            assert wish.signal == number
            assert not told
            os.kill(os.getpid(), number)
            assert told == [number]
        os.kill(os.getpid(), number)
        assert told == [number] * 2
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_signals_do_what_they_did():
    handlers = []

    def run():
        with wish_to_stop() as wish:
            handlers.append(signal.getsignal(signal.SIGTERM))
            assert not wish

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]
