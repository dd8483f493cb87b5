"""Azure on one desk: a Functions host, a Web PubSub emulator and a table store, no account."""
