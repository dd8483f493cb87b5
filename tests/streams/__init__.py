"""The streams: definition, ticks, runs, frames, subscriptions, history."""
