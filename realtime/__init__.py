"""The words and the services that negotiate, events and producers share."""
