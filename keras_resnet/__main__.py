"""`python -m keras_resnet` is `keras-resnet`."""

import sys

from keras_resnet.commands.main import main

sys.exit(main())
