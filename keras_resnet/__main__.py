"""`python -m keras_resnet` is `keras-resnet`."""

from keras_resnet.cli.main import run_and_exit

run_and_exit()
