"""Clients of the third-party services that supply stock prices and weather."""
