"""`manage.py track`: a command of the shell as an execution.

The command comes first: it runs, whatever becomes of its record.
"""
