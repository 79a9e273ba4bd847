"""`python -m keras_resnet` is `keras-resnet`."""

from keras_resnet.commands.main import run_and_exit

run_and_exit()
