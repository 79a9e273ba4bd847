"""Train a residual network: `python train.py --depth=50 --shortcut=B` is `keras-resnet train ...`.

`python train.py --help` lists the flags. The walk from the images to the exported files starts in
keras_resnet/commands/train.py.
"""

import sys

from keras_resnet.cli.main import run_and_exit

if __name__ == "__main__":
    run_and_exit(["train", *sys.argv[1:]])
