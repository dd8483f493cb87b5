"""What runs on a developer's machine: a Functions host, the parts of `make start`, the doctor."""
