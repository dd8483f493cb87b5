"""The clients of the Azure services that the app uses."""
