from segnet_tf import commands

commands.run("export")
