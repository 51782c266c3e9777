"""`python -m segnet_tf` runs the command `segnet`."""

from segnet_tf.commands import main

main()
