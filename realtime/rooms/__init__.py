"""Rooms and direct conversations: log, history, access, presence, retention."""
