"""The fault suite: faults while clients write, and one checker of what is left: `make faults`."""
