"""Does Caffe work in a forked child of a process that has used it? Run inside images and bare systems."""

import os
import signal

import numpy as np

from rationale.model import Model

network = Model.load("mnist").network
batch = np.ones((64, 1, 28, 28), np.float32)
first = network.forward(batch)["prob"]
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that waits for threads that are not there waits for ever
    os._exit(0 if np.allclose(network.forward(batch)["prob"], first) else 1)
print("a forked child ended with", os.waitpid(child, 0)[1])
