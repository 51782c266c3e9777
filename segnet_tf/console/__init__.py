"""What is typed and what is printed: flags, error lines, exit codes, quiet imports.

Lives beneath all other folders, beside `errors` and `files`.
"""
