"""Checks a configuration, local or deployed; each finding names the problem and the remedy.

    python -m local.doctor                 local: the settings, and the parts of `make start`
    python -m local.doctor --url URL       an app anywhere, from outside
                           --key KEY       its function key, to check the webhook as well
                           --token TOKEN   a bearer token, where guests are not allowed
                           --json          for programs

One line for each check; the exit code is 1 when a check failed.
"""
