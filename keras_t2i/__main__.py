"""`python -m keras_t2i` is `keras-t2i`."""

from keras_t2i.cli import main

main()
