"""What negotiate, producers, events, api, pages and timers share; each folder has one subject."""
