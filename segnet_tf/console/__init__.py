"""The command line: flags, error lines, exit codes, quiet imports.

This folder is below all other folders, beside `errors` and `files`.
"""
