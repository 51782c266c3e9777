"""`python -m segnet_tf`, which is the command `segnet`."""

from segnet_tf.commands import main

main()
