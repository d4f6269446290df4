"""The guided tour over HTTP. It uses only the service's address, and checks the results that it shows."""
