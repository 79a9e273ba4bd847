"""What a residual network is: layers, blocks, the paper's nets, and their size. Needs Keras alone."""
