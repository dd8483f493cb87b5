"""Tests of streams: definition, ticks, runs, frames, subscriptions, history."""
