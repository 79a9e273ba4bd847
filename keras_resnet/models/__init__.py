"""What a residual network is: layers, blocks, the paper's nets, their size. Of libraries, Keras and NumPy."""
